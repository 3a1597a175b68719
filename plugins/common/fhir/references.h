/*
 * Reference strings (R4 references.html): what they point to. Any thread.
 */
#ifndef FHIR_REFERENCES_H
#define FHIR_REFERENCES_H

#include <andiron/base.h>

enum fhir_reference_kind {
    FHIR_REFERENCE_LOCAL,    /* a resource here: type, id, perhaps version */
    FHIR_REFERENCE_URL,      /* elsewhere: url; type and id too, if it ends with them */
    FHIR_REFERENCE_FRAGMENT, /* "#x": a contained resource */
    FHIR_REFERENCE_OTHER     /* nothing to follow: a conditional reference, an empty string */
};

struct fhir_reference {
    enum fhir_reference_kind kind;
    andiron_str type, id, version, url; /* views into the text */
};

/*
 * base is the server's public base URL or absent: URLs below it, or below its /fhir, are
 * local. A type is any name with a capital letter; whether it exists is not asked.
 */
struct fhir_reference fhir_reference_parse(andiron_str text, andiron_str base);

#endif
