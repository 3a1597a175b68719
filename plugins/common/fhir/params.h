/*
 * The search parameters of FHIR R4, by resource type: for queries and CapabilityStatements.
 * Constant tables, any thread. Only those that are indexed: _text, _content and _query,
 * which have no expression, are not among them.
 */
#ifndef FHIR_PARAMS_H
#define FHIR_PARAMS_H

#include <andiron/base.h>

/* Canonical URL of a definition: this and its id. */
#define FHIR_PARAM_URL "http://hl7.org/fhir/SearchParameter/"

/* R4 search.html, 3.1.1.4: SearchParameter.type. */
enum fhir_param_kind {
    FHIR_PARAM_NUMBER,
    FHIR_PARAM_DATE,
    FHIR_PARAM_STRING,
    FHIR_PARAM_TOKEN,
    FHIR_PARAM_REFERENCE,
    FHIR_PARAM_COMPOSITE,
    FHIR_PARAM_QUANTITY,
    FHIR_PARAM_URI,
    FHIR_PARAM_SPECIAL
};

/* "number", "date", .. as SearchParameter.type spells it. */
const char *fhir_param_kind_name(enum fhir_param_kind kind);

/* How far the index of a parameter made at run time is. */
struct fhir_building {
    int percent;
};

/* All strings are literals; of a parameter made at run time they live with its definition. */
struct fhir_param {
    const char *code; /* "subject" */
    const char *term; /* what its index terms are called: R4's own like their code */
    const char *id;   /* "Observation-subject" */
    enum fhir_param_kind kind;
    int index;              /* of this (type, code); what programs emit */
    const uint8_t *targets; /* of a reference: indices of types; none: any type */
    size_t target_count;
    const char *words; /* of a string: parameter that holds its further words, "name#word" */
    size_t part_count; /* of a composite: its components */
    const struct fhir_param *parts; /* of a composite made at run time; NULL: fhir_param_part() */
    const struct fhir_building *building; /* its index is not complete; NULL: it can be searched */
    bool is_integer;                      /* of a number: only whole ones */
    bool is_caseless;                     /* of a token: only strings, whose case does not matter */
};

/* Component of a composite, which is a parameter of the same type; part is 0 .. part_count - 1. */
bool fhir_param_part(int type, const struct fhir_param *composite, size_t part,
                     struct fhir_param *ret);

/*
 * Walks the parameters of a type, those of every resource (_id, _tag ..) last; *pos starts
 * at 0; false at the end.
 */
bool fhir_param_next(int type, size_t *pos, struct fhir_param *ret);

/* The parameter of a type with that code, also one of every resource; false if there is none. */
bool fhir_param_find(int type, andiron_str code, struct fhir_param *ret);

/* Code of a parameter by index: a literal. */
const char *fhir_param_code(int index);

#endif
