-- depends: 0014.index-module-templates-search
-- transactional: false

-- Events lie on disk nearly in the order of their time, so a BRIN index finds a range of days at a
-- thousandth of a B-tree's size, and hardly slows a bulk load. minmax_multi keeps a few intervals per
-- block range, so that events which arrive late do not spoil it.
CREATE INDEX CONCURRENTLY analytics_events_occurred_at_idx
    ON analytics_events USING brin (occurred_at timestamptz_minmax_multi_ops);
