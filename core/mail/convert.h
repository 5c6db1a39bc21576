/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.h - a message of eight-bit or binary parts as one that every next hop can take.
 *
 * Called by core/queue where a next hop lacks 8BITMIME or BINARYMIME, and by core/policy before
 * something is sealed. Any thread; may take a while for a large message.
 */
#ifndef CORE_MAIL_CONVERT_H
#define CORE_MAIL_CONVERT_H

#include <core/mail/message.h>

/*
 * Each leaf that is not ASCII becomes quoted-printable or base64 (RFC 6152 section 3, RFC 3030
 * section 3); what it decodes to, charsets, boundaries and structure stay. The result is ASCII with
 * CRLF line ends, and converting it again changes nothing; lines of what was 7bit before stay as
 * long as they were.
 *
 * 0: `ret` is yours, the same bytes where nothing was to be done. -ENOTSUP: that would break a
 * signature, or lose something: header fields that are not ASCII (their charset is unknown), what
 * only claims to be MIME, and what cannot be inspected; `err` says it. -ENOMEM.
 */
int mail_convert_7bit(struct mail_bytes *bytes, struct mail_bytes **ret, struct pn_error *err);
/*
 * The same of a part of bytes that may have overflowed; what is large has overflowed then, too. May
 * wait for its turn (convert_turn.h).
 */
int mail_convert_part(struct mail_bytes *bytes, size_t offset, size_t len, struct mail_bytes **ret,
    struct pn_error *err);

#endif
