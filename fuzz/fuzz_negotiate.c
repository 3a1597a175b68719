/*
 * Accept, Content-Type, Prefer, ETags and dates of a request: any bytes are an answer.
 */
#include "fhir/negotiate.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    andiron_str s = { (const char *)data, size };
    struct wanted wanted = { 0 };
    uint64_t version = 0;
    andiron_str type, id, part;

    (void)negotiate_accept(s, BASE_FHIR);
    (void)negotiate_format(s, BASE_ROOT);
    (void)negotiate_is_json(s);
    negotiate_prefer(s, &wanted);
    if (negotiate_if_match(s, &version) == 0 && version != NEGOTIATE_LOOK)
        FUZZ_CHECK(version == NEGOTIATE_FOREIGN
                       ? !negotiate_etag_matches(s, 1) && !negotiate_etag_matches(s, 10)
                       : version > 0 && negotiate_etag_matches(s, version));
    (void)negotiate_etag_matches(s, 1);
    andiron_usec at = andiron_http_date_read(s);
    FUZZ_CHECK(at == INT64_MIN || at > -INT64_C(12000000000000000));
    if (types_split(s, &type, &id, &part) == 0)
        FUZZ_CHECK(types_is_id(id) && type.len + 1 + id.len <= s.len);
    return 0;
}
