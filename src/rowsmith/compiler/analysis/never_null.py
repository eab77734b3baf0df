"""Built-in functions whose results are known not to be NULL, by name, each group with its reason.

A strict function gives NULL for a NULL argument; that it gives something else for any other argument is nowhere in the
catalogue, so it is listed here, from the manual and the server's source. What is not listed is no proof. Functions that
look as if they belonged here and do not:

- `to_char` of a timestamp or an interval, `extract` of most fields: NULL for infinity; `to_number`: for an empty format
- `lower` and `upper` of a range: NULL where it has no bound
- `substring` with a pattern, `regexp_match`, `regexp_substr`, `array_length`, `array_position`, `->`, `->>`, `#>`: NULL
  for what is not there
- `+` of two paths, `#` of two lines: NULL for a closed path, for parallel lines
- `scale` and `min_scale`: NULL for NaN
- a column of a NOT NULL domain: a scalar sub-query of that type without a row puts NULL into it, unchecked
- casts of jsonb to a number or a boolean: NULL for the JSON null from 18 on

Names are resolved to OIDs in the catalogue of the server at hand, so a user's function of the same name is another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Functions by name, each with all its argument types, or by full signature, and those that are excepted."""

    names: list[str]
    signatures: list[str]
    excepted: list[str]


def _words(*lines: str) -> list[str]:
    return [word for line in lines for word in line.split()]


def _compare(*types: str) -> Iterable[str]:
    """The six comparisons of a type, as its functions are named: `int4eq`, `text_lt`. They answer with a boolean."""
    for name in types:
        yield from (f"{name}{end}" for end in ("eq", "ne", "lt", "le", "gt", "ge"))


_COMPARISONS = [
    *_compare(
        *_words(
            "array_ bit bool bpchar bpchar_pattern_ bytea cash_ char date_ enum_ float4 float8 float48 float84",
            "int2 int4 int8 int24 int28 int42 int48 int82 int84 interval_ jsonb_ macaddr_ macaddr8_ multirange_ name",
            "network_ numeric_ oid oidvector pg_lsn_ range_ record_ text text_ text_pattern_ time_ timestamp_",
            "timestamptz_ timetz_ tid tsquery_ tsvector_ uuid_ varbit xid8 xid box_ circle_",
        )
    ),
    *(f"{left}_{how}_{right}" for left, right in [
        ("date", "timestamp"), ("date", "timestamptz"), ("timestamp", "date"), ("timestamp", "timestamptz"),
        ("timestamptz", "date"), ("timestamptz", "timestamp"),
    ] for how in ("eq", "ne", "lt", "le", "gt", "ge")),
    *(f"{left}{how}{right}" for left, right in [("name", "text"), ("text", "name")]
      for how in ("eq", "ne", "lt", "le", "gt", "ge")),
    *_words("textne texteq text_starts_with starts_with point_eq point_ne line_eq lseg_eq lseg_ne"),
]  # fmt: skip

# A pattern either matches or does not; a pattern that is none is an error.
_MATCHES = [
    *(f"{kind}{how}" for kind in ("text", "name", "bpchar") for how in
      ("like", "nlike", "iclike", "icnlike", "regexeq", "regexne", "icregexeq", "icregexne")),
    *_words("bytealike byteanlike like notlike like_escape similar_to_escape regexp_like regexp_count regexp_instr"),
    *_words("ts_match_qv ts_match_vq ts_match_tt ts_match_tq"),
]  # fmt: skip

# Arithmetic answers or raises: overflow and division by zero are errors.
_ARITHMETIC = [
    *(f"{kind}{how}" for kind in ("int2", "int4", "int8", "int24", "int28", "int42", "int48", "int82", "int84",
                                  "float4", "float8", "float48", "float84") for how in ("pl", "mi", "mul", "div")),
    *(f"{kind}{how}" for kind in ("int2", "int4", "int8") for how in
      ("mod", "um", "up", "abs", "and", "or", "xor", "not", "shl", "shr")),
    *(f"{kind}{how}" for kind in ("float4", "float8") for how in ("um", "up", "abs")),
    *(f"numeric_{how}" for how in ("add", "sub", "mul", "div", "mod", "uminus", "uplus", "abs", "power")),
    *_words("dpow dsqrt dcbrt cash_pl cash_mi cash_mul_flt4 cash_mul_flt8 cash_mul_int2 cash_mul_int4 cash_mul_int8"),
    *_words("cash_div_cash cash_div_flt4 cash_div_flt8 cash_div_int2 cash_div_int4 cash_div_int8 int2_mul_cash"),
    *_words("int4_mul_cash int8_mul_cash flt4_mul_cash flt8_mul_cash"),
    *_words("abs cbrt ceil ceiling degrees div exp factorial floor gcd lcm ln log log10 mod pi pow power"),
    *_words("radians round sign sqrt trim_scale trunc width_bucket random random_normal setseed"),
    *_words("acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cos cosd cosh cot cotd sin sind sinh"),
    *_words("tan tand tanh erf erfc"),
]  # fmt: skip

# Sums and differences of times are times; those with infinity are infinity or an error.
_TIMES = _words(
    "date_mi date_mi_interval date_mii date_pl_interval date_pli datetime_pl datetimetz_pl timedate_pl timetzdate_pl",
    "integer_pl_date interval_pl_date interval_pl_time interval_pl_timestamp interval_pl_timestamptz",
    "interval_pl_timetz interval_pl interval_mi interval_mul interval_div interval_um mul_d_interval time_mi_interval",
    "time_mi_time time_pl_interval timestamp_mi timestamp_mi_interval timestamp_pl_interval timestamptz_mi",
    "timestamptz_mi_interval timestamptz_pl_interval timetz_mi_interval timetz_pl_interval date_add date_subtract",
    "age date_bin date_trunc isfinite justify_days justify_hours justify_interval make_date make_interval make_time",
    "make_timestamp make_timestamptz timezone to_timestamp to_date overlaps clock_timestamp statement_timestamp",
    "transaction_timestamp now timeofday",
)

# Strings: an empty result is the empty string, which is not NULL in PostgreSQL.
_STRINGS = _words(
    "textcat anytextcat textanycat bpchar byteacat bitcat ascii bit_count bit_length btrim casefold",
    "char_length character_length chr convert convert_from convert_to decode encode get_bit get_byte initcap left",
    "length lpad ltrim md5 normalize is_normalized octet_length overlay position quote_ident quote_literal",
    "regexp_replace regexp_split_to_array repeat replace reverse right rpad rtrim set_bit set_byte sha224 sha256",
    "sha384 sha512 split_part string_to_array strpos substr textlen to_ascii to_bin to_hex to_oct translate unistr",
    "parse_ident",
    "bitand bitor bitxor bitnot bitshiftleft bitshiftright crc32 crc32c",
)

# Arrays, ranges and documents: an empty one is not NULL, and whether something is in one has an answer.
_COLLECTIONS = _words(
    "array_cat arraycontains arraycontained arrayoverlap array_positions array_remove array_replace array_fill",
    "array_to_string cardinality array_reverse array_sort array_shuffle array_sample trim_array array_larger",
    "array_smaller elem_contained_by_range elem_contained_by_multirange range_adjacent range_after range_before",
    "range_contained_by range_contains range_contains_elem range_overlaps range_overleft range_overright range_union",
    "range_intersect range_minus range_merge isempty lower_inc lower_inf upper_inc upper_inf multirange_union",
    "multirange_intersect multirange_minus multirange_contains_elem multirange_contains_range",
    "multirange_contains_multirange range_contains_multirange range_contained_by_multirange",
    "multirange_contained_by_range multirange_contained_by_multirange range_overlaps_multirange",
    "multirange_overlaps_range multirange_overlaps_multirange",
    "jsonb_concat jsonb_delete jsonb_delete_path jsonb_contains jsonb_contained jsonb_exists jsonb_exists_any",
    "jsonb_exists_all to_json to_jsonb row_to_json array_to_json json_typeof jsonb_typeof json_array_length",
    "jsonb_array_length jsonb_set jsonb_insert jsonb_pretty json_strip_nulls jsonb_strip_nulls json_object",
    "jsonb_object jsonb_path_query_array jsonb_path_query_array_tz",
    "to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline",
    "setweight strip numnode querytree tsvector_concat tsquery_and tsquery_or tsquery_not tsquery_phrase",
    "ts_delete ts_filter ts_rewrite array_to_tsvector tsvector_to_array",
)

# A cast to a type is a function of its name. Each of them answers or raises.
_CASTS = _words(
    "bool bytea char date float4 float8 int2 int4 int8 interval money name numeric oid text time timestamp timestamptz",
    "timetz varchar bit varbit cidr inet macaddr macaddr8 uuid int4multirange int8multirange nummultirange",
    "tsmultirange tstzmultirange datemultirange int4range int8range numrange tsrange tstzrange daterange xid regclass",
)
_CASTS_OF_JSON = [f"{name}(jsonb)" for name in ("bool", "float4", "float8", "int2", "int4", "int8", "numeric")]

# What the server knows of itself and of this session.
_SESSION = _words(
    "current_database current_schemas current_user session_user getdatabaseencoding getpgusername nextval currval",
    "lastval setval version pg_backend_pid pg_is_in_recovery txid_current pg_current_xact_id pg_postmaster_start_time",
    "pg_conf_load_time gen_random_uuid uuidv4 uuidv7 hashtext hashtextextended pg_try_advisory_lock",
    "pg_try_advisory_xact_lock pg_advisory_lock pg_advisory_xact_lock pg_notify pg_sleep pg_get_userbyid",
    "pg_input_is_valid pg_advisory_unlock pg_cancel_backend pg_terminate_backend",
    "abbrev broadcast family host hostmask masklen netmask network set_masklen inet_merge inet_same_family inetpl",
    "inetmi inetmi_int8 int8pl_inet inetand inetor inetnot network_sub network_subeq network_sup network_supeq",
    "network_overlap point_distance",
)

TOTAL = Family(
    [*_COMPARISONS, *_MATCHES, *_ARITHMETIC, *_TIMES, *_STRINGS, *_COLLECTIONS, *_CASTS, *_SESSION],
    [
        "lower(text)", "upper(text)", "current_setting(text)",
        *(f"substring({kind}, integer{more})" for kind in ("text", "bytea", "bit") for more in ("", ", integer")),
        *(f"to_char({kind}, text)" for kind in ("integer", "bigint", "numeric", "real", "double precision")),
        *(f"{name}(text, time {zone} time zone)" for name in ("extract", "date_part") for zone in ("with", "without")),
    ],
    _CASTS_OF_JSON,
)  # fmt: skip
"""Not NULL for arguments that are not NULL."""

MONOTONIC_FIELDS = frozenset({"century", "decade", "epoch", "isoyear", "julian", "millennium", "year"})
"""The fields whose `extract` from infinity is infinity (source: NonFiniteTimestampTzPart); of others it is NULL."""

EXTRACTS = Family(["extract", "date_part"], [], [])
"""Not NULL for one of the fields above."""

# Unless their arguments come as one array, VARIADIC, which may be NULL as a whole.
ALWAYS = Family(
    _words(
        "concat num_nulls num_nonnulls json_build_array json_build_object jsonb_build_array jsonb_build_object",
        "quote_nullable pg_typeof enum_first enum_last enum_range array_append array_prepend",
    ),
    # A bound that is NULL is none; flags that are NULL are an error.
    [f"{kind}range({of}, {of}{flags})" for flags in ("", ", text") for kind, of in [
        ("int4", "integer"), ("int8", "bigint"), ("num", "numeric"), ("date", "date"),
        ("ts", "timestamp without time zone"), ("tstz", "timestamp with time zone"),
    ]],
    [],
)  # fmt: skip
"""Not NULL, whatever the arguments."""

DOCUMENTS = Family(["json_build_object", "jsonb_build_object"], [], [])
"""Documents of keys and values, each value NULL or not."""

FIRST = Family(["concat_ws", "format", "string_to_array"], [], [])
"""Not NULL where the first argument (the separator, the format, the string) is not."""

EITHER = Family(["array_cat"], [], [])
"""Not NULL where one argument is not."""

# A row of NULLs is none of theirs. An array's elements can be NULL (unnest), and so can be a text from JSON.
SETS = Family(
    _words(
        "generate_series generate_subscripts regexp_matches regexp_split_to_table json_object_keys jsonb_object_keys",
        "json_array_elements jsonb_array_elements json_each jsonb_each jsonb_path_query jsonb_path_query_tz",
    ),
    ["string_to_table(text, text)", "unnest(anymultirange)"],
    [],
)
"""Set-returning, with no NULL in any column of any row."""

KEYS = Family(["json_each_text", "jsonb_each_text"], [], [])
"""Set-returning, with no NULL in the first column."""

UNNEST = Family([], ["unnest(anyarray)"], [])
"""Set-returning: the elements of its argument."""

AGGREGATES = {
    # A count of nothing is 0; the rank among nothing is 1.
    "always": Family(_words("count regr_count rank dense_rank percent_rank cume_dist"), [], []),
    # NULLs are collected like any other value.
    "rows": Family(
        _words(
            "array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg json_agg_strict jsonb_agg_strict",
            "json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_object_agg_strict",
            "jsonb_object_agg_unique jsonb_object_agg_unique_strict",
        ),
        [],
        [],
    ),
    # NULLs are left out, so one value that is none is enough. A deviation of samples needs two.
    "values": Family(
        _words(
            "sum avg min max string_agg bool_and bool_or every bit_and bit_or bit_xor any_value range_agg",
            "range_intersect_agg stddev_pop var_pop covar_pop mode percentile_disc percentile_cont",
        ),
        [],
        [],
    ),
}
"""Aggregates: never NULL; not NULL over at least one row; over at least one row whose argument is not NULL."""

ROW_FUNCTIONS = Family(_words("row_number rank dense_rank percent_rank cume_dist ntile"), [], [])
"""Window functions of a row's place: not NULL for arguments that are not NULL."""

FRAME_FUNCTIONS = Family(_words("first_value last_value"), [], [])
"""Window functions that give a value of the frame: not NULL where it has a row and none of its values is NULL."""

# The third argument stands in where there is no such row.
SHIFT_FUNCTIONS = Family(
    [],
    [f"{name}({kind}, integer, {kind})" for name in ("lag", "lead") for kind in ("anycompatible", "anyelement")],
    [],
)
"""Window functions that give a value of another row: not NULL where neither that nor its stand-in is NULL."""

FAMILIES = {
    "total": TOTAL,
    "always": ALWAYS,
    "documents": DOCUMENTS,
    "first": FIRST,
    "either": EITHER,
    "extracts": EXTRACTS,
    "sets": SETS,
    "keys": KEYS,
    "unnest": UNNEST,
    "row_functions": ROW_FUNCTIONS,
    "frame_functions": FRAME_FUNCTIONS,
    "shift_functions": SHIFT_FUNCTIONS,
}
"""All but the aggregates."""
