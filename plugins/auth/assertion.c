/*
 * Checks of client assertions, in the order of the specification.
 */
#include "assertion.h"

#include <math.h>
#include <strings.h>

enum { MAX_JTI = 256, MAX_AGE_S = 3600 };

static int refuse(struct andiron_error *err, const char *why)
{
    return andiron_error_set(err, ANDIRON_E_CREDENTIALS, "", "assertion: %s", why);
}

static bool has(andiron_json object, const char *name)
{
    return andiron_json_type(andiron_json_get(object, name)) != ANDIRON_JSON_MISSING;
}

static const struct jose_alg *allowed_alg(const struct assertion_rules *rules, andiron_str name)
{
    for (size_t i = 0; rules->algs[i] != NULL; i++)
        if (andiron_str_eq(name, andiron_str_of(rules->algs[i]->name)))
            return rules->algs[i];
    return NULL;
}

/* JA-3; RFC 7515 section 4.1.9: compared without regard to case. */
static bool is_known_type(andiron_json typ)
{
    static const char names[][28] = { "JWT", "client-authentication+jwt" };
    andiron_str given = andiron_json_str(typ);
    for (size_t i = 0; i < 2; i++)
        if (given.len == strlen(names[i]) && strncasecmp(given.data, names[i], given.len) == 0)
            return true;
    return false;
}

/* JA-2 to JA-5, as far as the header goes */
static int read_header(struct assertion *a, const struct assertion_rules *rules,
                       struct andiron_error *err)
{
    andiron_json header = a->jws.header;

    a->alg = allowed_alg(rules, andiron_json_str(andiron_json_get(header, "alg")));
    if (a->alg == NULL)
        return refuse(err, "alg is not one of `assertion-algs`");
    if (has(header, "typ") && !is_known_type(andiron_json_get(header, "typ")))
        return refuse(err, "typ must be JWT");
    a->kid = andiron_json_str(andiron_json_get(header, "kid"));
    if (a->kid.len == 0)
        return refuse(err, "kid is required in the header");
    if (has(header, "crit") || has(header, "b64") || has(header, "zip"))
        return refuse(err, "crit, b64 and zip are not understood");
    a->jku = andiron_json_str(andiron_json_get(header, "jku"));
    if (has(header, "jku") && a->jku.data == NULL)
        return refuse(err, "jku must be a string");
    return 0;
}

int assertion_read(struct andiron_arena *arena, andiron_str text,
                   const struct assertion_rules *rules, struct assertion *ret,
                   struct andiron_error *err)
{
    struct assertion a = { .exp_s = 0 };
    struct andiron_error inner;

    if (jose_jws_split(arena, text, rules->max_bytes, &a.jws, &inner) != 0)
        return refuse(err, inner.message);
    if (read_header(&a, rules, err) != 0)
        return -1;
    andiron_json sub = andiron_json_get(a.jws.claims, "sub");
    a.client = andiron_json_str(andiron_json_get(a.jws.claims, "iss"));
    if (a.client.len == 0 || !andiron_str_eq(andiron_json_str(sub), a.client)) /* as all of JA-6 */
        return andiron_error_set(err, ANDIRON_E_CREDENTIALS, "",
                                 "client or signature not accepted");
    *ret = a;
    return 0;
}

/* JA-9: one value only, so that nobody can replay what was meant for another server as well. */
static bool is_for_us(andiron_json aud, const struct assertion_rules *rules)
{
    if (andiron_json_type(aud) == ANDIRON_JSON_ARRAY && andiron_json_count(aud) == 1)
        aud = andiron_json_at(aud, 0);
    andiron_str value = andiron_json_str(aud);
    return value.len != 0 &&
           (andiron_str_eq(value, rules->audience) ||
            (rules->other_audience.data != NULL && andiron_str_eq(value, rules->other_audience)));
}

double assertion_date(andiron_json v)
{
    if (andiron_json_type(v) != ANDIRON_JSON_NUMBER)
        return NAN;
    double seconds = andiron_json_double(v, NAN);
    return isfinite(seconds) ? seconds : NAN;
}

static int check_times(struct assertion *a, const struct assertion_rules *rules,
                       struct andiron_error *err)
{
    andiron_json claims = a->jws.claims;
    double exp = assertion_date(andiron_json_get(claims, "exp"));
    double nbf = assertion_date(andiron_json_get(claims, "nbf"));
    double iat = assertion_date(andiron_json_get(claims, "iat"));

    if (isnan(exp))
        return refuse(err, "exp must be a number");
    if (exp <= rules->now_s - rules->skew_s)
        return refuse(err, "exp has passed");
    if (exp > rules->now_s + rules->life_s + rules->skew_s)
        return andiron_error_set(err, ANDIRON_E_CREDENTIALS, "",
                                 "assertion: exp more than %.0f s ahead", rules->life_s);
    if (has(claims, "nbf") && !(nbf <= rules->now_s + rules->skew_s))
        return refuse(err, "nbf must be a number that is not in the future");
    if (has(claims, "iat") && !(iat <= rules->now_s + rules->skew_s))
        return refuse(err, "iat must be a number that is not in the future");
    if (has(claims, "iat") && iat < rules->now_s - MAX_AGE_S)
        return refuse(err, "iat is more than 3600 s ago");
    a->exp_s = exp;
    return 0;
}

int assertion_check(struct assertion *a, const struct assertion_rules *rules,
                    struct andiron_error *err)
{
    if (!is_for_us(andiron_json_get(a->jws.claims, "aud"), rules))
        return andiron_error_set(
            err, ANDIRON_E_CREDENTIALS, "", "assertion: aud must be exactly %.*s",
            (int)(rules->audience.len > 200 ? 200 : rules->audience.len), rules->audience.data);
    if (check_times(a, rules, err) != 0)
        return -1;
    a->jti = andiron_json_str(andiron_json_get(a->jws.claims, "jti"));
    if (a->jti.len == 0 || a->jti.len > MAX_JTI || memchr(a->jti.data, '\0', a->jti.len) != NULL)
        return refuse(err, "jti must be a string of 1 to 256 bytes, none of them 0");
    return 0;
}
