/*
 * Taking connection strings apart; see dsn.h.
 */
#include "dsn.h"

#include <assert.h>

int dsn_parse(struct dsn *dsn, const char *text, const char *directive, struct andiron_error *err)
{
    char *message = NULL;

    *dsn = (struct dsn){ .parsed = PQconninfoParse(text, &message) };
    /* libpq's message quotes from the text: not shown. */
    PQfreemem(message);
    if (dsn->parsed == NULL)
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "%s is no connection string: \"host=.. dbname=.. user=..\" or "
                                 "\"postgresql://user@host/dbname\" is expected",
                                 directive);
    for (const PQconninfoOption *o = dsn->parsed; o->keyword != NULL; o++) {
        if (o->val != NULL && o->val[0] != '\0')
            dsn_set(dsn, o->keyword, o->val);
    }
    return 0;
}

void dsn_free(struct dsn *dsn)
{
    PQconninfoFree(dsn->parsed);
    *dsn = (struct dsn){ .parsed = NULL };
}

const char *dsn_value(const struct dsn *dsn, const char *keyword)
{
    for (size_t i = 0; i < dsn->count; i++) {
        if (strcmp(dsn->keywords[i], keyword) == 0)
            return dsn->values[i];
    }
    return NULL;
}

void dsn_set(struct dsn *dsn, const char *keyword, const char *value)
{
    size_t i = 0;

    while (i < dsn->count && strcmp(dsn->keywords[i], keyword) != 0)
        i++;
    assert(i < DSN_OPTIONS - 1); /* libpq knows about forty */
    dsn->keywords[i] = keyword;
    dsn->values[i] = value;
    if (i == dsn->count)
        dsn->count++;
}

void dsn_default(struct dsn *dsn, const char *keyword, const char *value)
{
    if (dsn_value(dsn, keyword) == NULL)
        dsn_set(dsn, keyword, value);
}
