/*
 * For tests of stores: terms and conditions in a line each.
 */
#ifndef COMMON_STORE_TERMS_KIT_H
#define COMMON_STORE_TERMS_KIT_H

#include <andiron/store.h>

static inline struct andiron_term kit_token(const char *param, const char *system, const char *code)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_TOKEN,
                                  .system = andiron_str_of(system),
                                  .text = andiron_str_of(code) };
}

static inline struct andiron_term kit_reference(const char *param, const char *type, const char *id)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_REFERENCE,
                                  .system = andiron_str_of(type),
                                  .text = andiron_str_of(id) };
}

static inline struct andiron_term kit_string(const char *param, const char *text, const char *exact)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_STRING,
                                  .text = andiron_str_of(text),
                                  .exact = andiron_str_of(exact) };
}

static inline struct andiron_term kit_date(const char *param, andiron_usec low, andiron_usec high)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_DATE,
                                  .range.date = { low, high } };
}

static inline struct andiron_term kit_number(const char *param, double low, double high)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_NUMBER,
                                  .range.number = { low, high } };
}

static inline struct andiron_filter kit_filter(enum andiron_compare compare,
                                               struct andiron_term term)
{
    return (struct andiron_filter){ .op = ANDIRON_FILTER_TERM, .compare = compare, .term = term };
}

#endif
