-- The queries of the bank. Balances are read, and written back as values that the program computed: a transfer that ran on
-- a balance which another one was changing is then an account that does not agree with the ledger.

-- name: read_balance(id)$
SELECT balance FROM account WHERE id = :id;

-- name: lock_balance(id)$
SELECT balance FROM account WHERE id = :id FOR UPDATE;

-- name: set_balance(id, balance)!
UPDATE account SET balance = :balance WHERE id = :id;

-- name: enter_transfer(transfer, source, target, amount)!
-- A plain INSERT into a table without a unique key: what ran twice is there twice.
INSERT INTO ledger (transfer, source, target, amount) VALUES (:transfer, :source, :target, :amount);

-- name: make_transfer(transfer, source, target, amount)$
-- A SELECT that writes.
SELECT make_transfer(:transfer, :source, :target, :amount);

-- name: total()$
SELECT sum(balance)::bigint FROM account;

-- name: total_of_half(odd)$
SELECT sum(balance)::bigint FROM account WHERE id % 2 = :odd;
