/*
 * Compiling a search expression to a plan: what the parts of it share.
 *
 *     compile.c    the parameters one by one, and the plan at the end
 *     criteria.c   names: modifiers, chains, _has; lists of values
 *     values.c     one value, by the parameter's kind
 *     coded.c      tokens by stored ValueSets and CodeSystems
 *     results.c    _sort, _count, _include and their like
 *     narrow.c     compartments, and the request's narrowings
 *
 * Everything lives in the arena given. A failure has filled err; if is_unknown is set too,
 * lenient handling passes over the parameter.
 */
#ifndef SEARCH_COMPILE_H
#define SEARCH_COMPILE_H

#include <andiron/search.h>

#include "model.h"

/* Settings of the plugin; the defaults are in plugin.c. */
struct search_limits {
    int64_t max_params, max_values, max_conditions, chain_depth;
    int64_t sort_keys, max_count, default_count, total_limit;
    int64_t max_codes, max_sets;
};

struct terminology;

/* A growing list of pointers in the arena. */
struct list {
    const void **items;
    size_t count, capacity;
};

struct compiling {
    const struct model *model;
    const struct search_limits *limits;
    struct andiron_arena *arena;
    andiron_str base; /* own public base URL, or absent */
    bool is_strict;
    struct andiron_error *err;
    bool is_unknown; /* see above */

    /* Narrowings of the request: like andiron_request_limit(), whose request may be NULL. */
    const struct andiron_limit *(*narrowing)(const void *of, size_t *pos, andiron_str type,
                                             enum andiron_access access);
    const void *narrowing_of;
    enum andiron_access access; /* of the type asked for; chains and includes are searches */
    int narrowing_depth;        /* within a narrowing there are no further ones */

    struct terminology *terminology; /* what has been read of it; NULL: it cannot be read here */

    int64_t conditions;   /* filters made so far */
    struct list types;    /* names that chains and _has look into */
    uint64_t fingerprint; /* of what has been applied so far */
};

/* What is asked of one parameter. */
enum modifier {
    MODIFIER_NONE,
    MODIFIER_MISSING,
    MODIFIER_EXACT,
    MODIFIER_CONTAINS,
    MODIFIER_TEXT,
    MODIFIER_NOT,
    MODIFIER_OF_TYPE,
    MODIFIER_IDENTIFIER,
    MODIFIER_ABOVE,
    MODIFIER_BELOW,
    MODIFIER_IN,
    MODIFIER_NOT_IN,
    MODIFIER_TYPE /* subject:Patient */
};

struct operand {
    const struct search_type *type; /* that the parameter belongs to */
    const struct fhir_param *param;
    enum modifier modifier;
    struct search_type target; /* MODIFIER_TYPE */
    const char *name;          /* of the terms: the parameter, or the composite it is a part of */
    uint32_t part;             /* of the composite; 0: none */
};

/* ---- compile.c ---- */

int search_compile(struct compiling *c, andiron_str type, andiron_str expression,
                   struct andiron_search_plan *ret);

/* Fills err, sets is_unknown if lenient handling may pass over it, and returns -1. */
int compile_unknown(struct compiling *c, const char *fmt, ...) ANDIRON_PRINTF(2, 3);
/* Fills err with ANDIRON_E_INVALID and returns -1. */
int compile_fail(struct compiling *c, const char *fmt, ...) ANDIRON_PRINTF(2, 3);

/* Adds text, or a number, to the fingerprint. */
void compile_hash(struct compiling *c, andiron_str text);
void compile_hash_number(struct compiling *c, uint64_t number);

void list_add(struct compiling *c, struct list *list, const void *item);
/* Adds a literal name unless it is there. */
void list_add_name(struct compiling *c, struct list *list, const char *name);
/* The items and a NULL; NULL if there are none. */
const char *const *list_names(struct compiling *c, struct list *list);

/* Prints text of the user in messages: "%.*s" of it, cut to a bearable length. */
#define SHOWN(s) (int)((s).len < 80 ? (s).len : 80), (s).data

/* ---- filters, in criteria.c ---- */

struct andiron_filter *filter_new(struct compiling *c, enum andiron_filter_op op);
/* -1 if there are more of them than a search may have. */
int conditions_check(struct compiling *c);
/* AND or OR of a list of filters; the only one itself. */
const struct andiron_filter *filter_of(struct compiling *c, enum andiron_filter_op op,
                                       struct list *args);
struct andiron_filter *filter_term(struct compiling *c, const struct operand *o,
                                   enum andiron_term_kind kind, enum andiron_compare compare);
const struct andiron_filter *filter_not(struct compiling *c, const struct andiron_filter *arg);
struct andiron_filter *filter_id(struct compiling *c, andiron_str id);

/* Filter of "name=value", both decoded: with modifiers, chains, _has, _compartment. */
int criterion(struct compiling *c, const struct search_type *type, andiron_str name,
              andiron_str value, int64_t depth, const struct andiron_filter **ret);

/* Filter of the values of one parameter, separated by commas. */
int values_filter(struct compiling *c, const struct operand *o, andiron_str values,
                  const struct andiron_filter **ret);

/*
 * A parameter that can be searched. -1: the type has none of that code, and what may have been
 * meant; or its index is not complete yet. Lenient handling passes over either.
 */
int compile_param(struct compiling *c, const struct search_type *type, andiron_str code,
                  struct fhir_param *ret);

/* ---- values.c ---- */

/* Filter of one value: a TERM, or an OR of TERMs; value is still escaped. */
int value_filter(struct compiling *c, const struct operand *o, andiron_str value,
                 const struct andiron_filter **ret);

/* Parts of a value between unescaped bars, themselves unescaped; how many, max + 1: more. */
size_t value_split(struct compiling *c, andiron_str value, andiron_str *parts, size_t max);

/* ---- coded.c ---- */

/* token:in=url, token:not-in=url (to be negated), token:above=system|code, token:below. */
int in_filter(struct compiling *c, const struct operand *o, andiron_str value,
              const struct andiron_filter **ret);
int subsumption_filter(struct compiling *c, const struct operand *o, andiron_str value,
                       const struct andiron_filter **ret);

/* ---- results.c ---- */

/* Parameters that say what comes back, collected. */
struct results {
    struct andiron_sort *sort;
    size_t sort_count;
    int64_t count; /* -1: not given */
    enum andiron_total total;
    bool has_total;
    enum andiron_subset subset;
    struct list elements;
    struct list includes; /* struct andiron_include */
    andiron_str cursor;
};

enum result_use {
    RESULT_NONE,   /* not such a parameter */
    RESULT_USED,   /* belongs into the self link */
    RESULT_SILENT, /* not of search: _format, _pretty, _cursor */
    RESULT_FAILED
};

/* *value may be replaced by what was made of it: a larger _count is cut. */
enum result_use result_param(struct compiling *c, struct results *r, const struct search_type *type,
                             andiron_str name, andiron_str *value);

/* Sets the query's sort, limit, total and includes; and visible, by the narrowings. */
int results_finish(struct compiling *c, struct results *r, const struct search_type *type,
                   struct andiron_search_plan *plan);

/* ---- narrow.c ---- */

/* A limit (request.h) that was compiled once, as search parameters were then. */
struct andiron_prepared {
    uint64_t generation; /* of the model */
    uint64_t hash;       /* of the expressions */
    const struct andiron_filter *filter;
};

/* Narrowings of the request for an access to a type: NULL if there are none. */
int narrow(struct compiling *c, const struct search_type *type, enum andiron_access access,
           const struct andiron_filter **ret);

/* prepare() and select() of search/1. */
const struct andiron_prepared *narrow_prepare(struct compiling *c, andiron_str type,
                                              const char *const *any_of);
int narrow_select(struct compiling *c, andiron_str type, andiron_str criteria,
                  const struct andiron_filter **ret);

/* "_compartment=Patient/12". */
int compartment_filter(struct compiling *c, const struct search_type *type, andiron_str value,
                       const struct andiron_filter **ret);

#endif
