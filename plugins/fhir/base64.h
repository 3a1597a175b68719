/*
 * base64Binary (datatypes.html#base64Binary): RFC 4648 section 4, blanks allowed between. Any thread.
 */
#ifndef FHIR_BASE64_H
#define FHIR_BASE64_H

#include <andiron/base.h>

/* The bytes of a text, in arena; -1 if it is no base64. */
int base64_decode(struct andiron_arena *arena, andiron_str text, andiron_str *ret);

/* The text of bytes, in arena. */
andiron_str base64_encode(struct andiron_arena *arena, andiron_str bytes);

#endif
