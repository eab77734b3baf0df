"""The benchmark: rowsmith and other libraries do the same work on one server, and the cost to the client is measured.

    make bench                                  the full run, about six minutes
    python -m benchmarks --quick                a smoke run, less than a minute
    python -m benchmarks --only lookup          one workload; may be repeated
    python -m benchmarks --output DIR           where to write results.md, results.json and benchmark.svg
    python -m benchmarks.generate [--check]     write the typed modules of rowsmith's contenders again

`workloads`, `throughput` and `processes` define what is measured, `contenders` which libraries take part, `measurement`
how time is measured, and `targets` what rowsmith should achieve.
"""
