"""Built-in functions whose results are known not to be NULL, each group with its reason.

A strict function gives NULL for a NULL argument; that it gives something else for any other argument is nowhere in the
catalog, so it is listed here, from the manual and the server's source, and tried on values of all types in the tests.
What is not listed is no proof. Functions that look as if they belonged here and do not:

- `to_char` of a timestamp or an interval, `extract` of most fields: NULL for infinity; `to_number`: for an empty format
- `time` and `timetz` of a timestamp: NULL for infinity
- `lower` and `upper` of a range: NULL where it has no bound
- `substring` with a pattern, `regexp_match`, `regexp_substr`, `array_length`, `array_position`, `->`, `->>`, `#>`: NULL
  for what is not there
- `+` of two paths, `#` of two lines: NULL for a closed path, for parallel lines
- `scale` and `min_scale`: NULL for NaN
- a column of a NOT NULL domain: a scalar subquery of that type without a row puts NULL into it, unchecked
- casts of jsonb to a number or a boolean: NULL for the JSON null from 18 on

Names are resolved to OIDs in the catalog of the server at hand, so a user's function of the same name is another one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Functions: by name, all but some that are excepted by full signature; by signature; by the operators they are."""

    names: str = ""
    excepted: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    operators: str = ""


# A comparison answers yes or no, and so does a match: a pattern that is none is an error. Arithmetic answers or raises:
# overflow and division by zero are errors. Sums and differences of times are times, or an error.
_OPERATORS = """
    = <> < <= > >= ~~ !~~ ~~* !~~* ~ !~ ~* !~* ~<~ ~<=~ ~>~ ~>=~ ^@ @> <@ && << >> <<= >>= &< &> ~= -|- ? ?& ?| @@
    + - * / % ^ & | # ~ @ |/ ||/ || !! #-
"""
_NULL_OPERATORS = (
    "path_add(path, path)", "box_intersect(box, box)", "line_interpt(line, line)", "lseg_interpt(lseg, lseg)",
    "jsonb_path_match_opr(jsonb, jsonpath)",
)  # fmt: skip

_NUMBERS = """
    abs cbrt ceil ceiling degrees div exp factorial floor gcd lcm ln log log10 mod pi pow power radians round sign sqrt
    trim_scale trunc width_bucket random random_normal setseed acos acosd acosh asin asind asinh atan atan2 atan2d atand
    atanh cos cosd cosh cot cotd sin sind sinh tan tand tanh erf erfc
"""

_TIMES = """
    date_add date_subtract age date_bin date_trunc isfinite justify_days justify_hours justify_interval make_date
    make_interval make_time make_timestamp make_timestamptz timezone to_timestamp to_date overlaps clock_timestamp
    statement_timestamp transaction_timestamp now timeofday
"""

# An empty result is the empty string, which is not NULL in PostgreSQL.
_STRINGS = """
    ascii bit_count bit_length bpchar btrim casefold char_length character_length chr convert convert_from convert_to
    crc32 crc32c decode encode get_bit get_byte initcap is_normalized left length like like_escape lpad ltrim md5
    normalize notlike octet_length overlay parse_ident position quote_ident quote_literal regexp_count regexp_instr
    regexp_like regexp_replace regexp_split_to_array repeat replace reverse right rpad rtrim set_bit set_byte sha224
    sha256 sha384 sha512 similar_to_escape split_part starts_with string_to_array strpos substr textlen to_ascii to_bin
    to_hex to_oct translate unistr
"""

# An empty array, range or document is not NULL, and whether something is in one has an answer.
_COLLECTIONS = """
    array_cat array_positions array_remove array_replace array_fill array_to_string cardinality array_reverse array_sort
    array_shuffle array_sample trim_array array_larger array_smaller range_merge isempty lower_inc lower_inf upper_inc
    upper_inf to_json to_jsonb row_to_json array_to_json json_typeof jsonb_typeof json_array_length jsonb_array_length
    jsonb_set jsonb_insert jsonb_pretty json_strip_nulls jsonb_strip_nulls json_object jsonb_object
    jsonb_path_query_array jsonb_path_query_array_tz to_tsvector to_tsquery plainto_tsquery phraseto_tsquery
    websearch_to_tsquery ts_rank ts_rank_cd ts_headline setweight strip numnode querytree tsquery_phrase ts_delete
    ts_filter ts_rewrite array_to_tsvector tsvector_to_array point_distance
"""

# A cast to a type is a function of its name. Each of them answers or raises, but for those of JSON.
_CASTS = """
    bool bytea char date float4 float8 int2 int4 int8 interval money name numeric oid text timestamp timestamptz
    varchar bit varbit cidr inet macaddr macaddr8 uuid int4multirange int8multirange nummultirange tsmultirange
    tstzmultirange datemultirange int4range int8range numrange tsrange tstzrange daterange xid regclass
"""

# What the server knows of itself, of this session, and of addresses.
_SERVER = """
    current_database current_schemas current_user session_user getdatabaseencoding getpgusername nextval currval lastval
    setval version pg_backend_pid pg_is_in_recovery txid_current pg_current_xact_id pg_postmaster_start_time
    pg_conf_load_time gen_random_uuid uuidv4 uuidv7 hashtext hashtextextended pg_try_advisory_lock
    pg_try_advisory_xact_lock pg_advisory_lock pg_advisory_xact_lock pg_notify pg_sleep pg_get_userbyid
    pg_input_is_valid pg_advisory_unlock pg_cancel_backend pg_terminate_backend abbrev broadcast family host hostmask
    masklen netmask network set_masklen inet_merge inet_same_family
"""

_ZONES = ("with", "without")
_RANGES = [
    (f"{kind}range", subtype)
    for kind, subtype in [
        ("int4", "integer"), ("int8", "bigint"), ("num", "numeric"), ("date", "date"),
        ("ts", "timestamp without time zone"), ("tstz", "timestamp with time zone"),
    ]
]  # fmt: skip

_RANGE_CONSTRUCTORS = tuple(f"{name}({of}, {of}{flags})" for name, of in _RANGES for flags in ("", ", text"))

MONOTONIC_FIELDS = frozenset({"century", "decade", "epoch", "isoyear", "julian", "millennium", "year"})
"""The fields whose `extract` from infinity is infinity (source: NonFiniteTimestampTzPart); of others it is NULL."""

FAMILIES = {
    # Not NULL for arguments that are not NULL.
    "total": Family(
        f"{_NUMBERS} {_TIMES} {_STRINGS} {_COLLECTIONS} {_CASTS} {_SERVER}",
        (
            *_NULL_OPERATORS,
            *(f"{name}(jsonb)" for name in ("bool", "float4", "float8", "int2", "int4", "int8", "numeric")),
        ),
        (
            "lower(text)",
            "upper(text)",
            "current_setting(text)",
            *(f"substring({kind}, integer{more})" for kind in ("text", "bytea", "bit") for more in ("", ", integer")),
            *(f"to_char({kind}, text)" for kind in ("integer", "bigint", "numeric", "real", "double precision")),
            *(
                f"{name}(text, time {zone} time zone)"
                for name in ("extract", "date_part")
                for zone in ("with", "without")
            ),
        ),
        _OPERATORS,
    ),
    # Not NULL, whatever the arguments; if they are given as one array, VARIADIC, that may not be NULL. For a range a
    # bound that is NULL is no bound, and flags that are NULL are an error.
    "always": Family(
        "concat num_nulls num_nonnulls json_build_array json_build_object jsonb_build_array jsonb_build_object"
        " quote_nullable pg_typeof enum_first enum_last enum_range array_append array_prepend",
        signatures=_RANGE_CONSTRUCTORS,
    ),
    # Documents of keys and values, each value NULL or not.
    "documents": Family("json_build_object jsonb_build_object"),
    # These take NULL for a value like any other, or for none: an element, a text to be left out, a bound.
    "nullable": Family(
        "array_append array_prepend array_cat concat num_nulls num_nonnulls quote_nullable"
        " json_build_array jsonb_build_array",
        signatures=_RANGE_CONSTRUCTORS,
    ),
    "nullable after the first": Family(
        "concat_ws format array_remove array_replace array_positions",
        signatures=("array_position(anycompatiblearray, anycompatible)",),
    ),
    # Not NULL if the first argument (the separator, the format, the string) is not.
    "first": Family("concat_ws format string_to_array"),
    # Not NULL if one argument is not.
    "either": Family("array_cat"),
    # Not NULL for one of the fields above.
    "extracts": Family("extract date_part"),
    # Set-returning, with no NULL in any column of any row: a row of NULLs is none of theirs.
    "sets": Family(
        "generate_series generate_subscripts regexp_matches regexp_split_to_table json_object_keys jsonb_object_keys"
        " json_array_elements jsonb_array_elements json_each jsonb_each jsonb_path_query jsonb_path_query_tz",
        signatures=("string_to_table(text, text)", "unnest(anymultirange)"),
    ),
    # Set-returning, with no NULL in the first column.
    "keys": Family("json_each_text jsonb_each_text"),
    # Set-returning: the elements of its argument.
    "unnest": Family(signatures=("unnest(anyarray)",)),
    # Window functions of a row's place: not NULL for arguments that are not NULL.
    "row_functions": Family("row_number rank dense_rank percent_rank cume_dist ntile"),
    # Window functions that give a value of the frame: not NULL if it has a row and none of its values is NULL.
    "frame_functions": Family("first_value last_value"),
    # Window functions that give a value of another row, or the third argument: not NULL if neither can be.
    "shift_functions": Family(
        signatures=tuple(
            f"{name}({of}, integer, {of})" for name in ("lag", "lead") for of in ("anycompatible", "anyelement")
        )
    ),
}

EXTENSIONS = {
    "citext": "citext texticlike texticnlike texticregexeq texticregexne",
    "fuzzystrmatch": "difference dmetaphone dmetaphone_alt levenshtein levenshtein_less_equal metaphone soundex",
    "hstore": "akeys avals defined delete exist exists_all exists_any hs_concat hstore_to_array hstore_to_json"
    " hstore_to_jsonb isdefined",
    "ltree": "index ltree2text ltree_addltree ltree_addtext ltree_isparent ltree_risparent ltree_textadd ltq_regex"
    " nlevel subltree subpath text2ltree",
    "pg_trgm": "show_trgm similarity similarity_dist similarity_op strict_word_similarity strict_word_similarity_op"
    " word_similarity word_similarity_op",
    "pgcrypto": "crypt digest gen_random_bytes gen_random_uuid gen_salt hmac",
    "unaccent": "unaccent",
    "uuid-ossp": "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil"
    " uuid_ns_dns uuid_ns_oid uuid_ns_url uuid_ns_x500",
}
"""Functions of the extensions that come with PostgreSQL: not NULL for arguments that are not NULL."""

AGGREGATES = {
    # Never NULL: a count of nothing is 0; the rank among nothing is 1.
    "always": Family("count regr_count rank dense_rank percent_rank cume_dist"),
    # Not NULL over at least one row: NULLs are collected like any other value.
    "rows": Family(
        "array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg json_agg_strict jsonb_agg_strict"
        " json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_object_agg_strict"
        " jsonb_object_agg_unique jsonb_object_agg_unique_strict"
    ),
    # Not NULL over at least one row whose argument is not NULL: NULLs are left out. A deviation of samples needs two.
    "values": Family(
        "sum avg min max string_agg bool_and bool_or every bit_and bit_or bit_xor any_value range_agg"
        " range_intersect_agg stddev_pop var_pop covar_pop mode percentile_disc percentile_cont"
    ),
}
