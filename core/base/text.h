/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - small work on bytes that several parts need: case, base64, checksums. Any thread. */
#ifndef CORE_BASE_TEXT_H
#define CORE_BASE_TEXT_H

#include <core/base/buf.h>

/* ASCII only, never by locale. */
bool text_equals_nocase(struct pn_slice a, struct pn_slice b);
bool text_is(struct pn_slice a, const char *word); /* without case */
void text_lower(char *text, size_t len);
/* Nearest of `words` (NULL-ended) by edit distance, NULL if none is near: "did you mean". */
const char *text_nearest(const char *word, const char *const *words);

/* RFC 4648 section 4. Decoding is strict: no white space, padding required. -EINVAL, -E2BIG. */
int text_base64_encode(struct pn_slice bytes, struct buf *ret);
int text_base64_decode(struct pn_slice text, struct buf *ret);

/* CRC-32 (IEEE), by libdeflate; start with 0. */
uint32_t text_crc32(uint32_t crc, const void *bytes, size_t len);

#endif
