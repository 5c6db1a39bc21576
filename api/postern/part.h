/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part.h - the parts of a message (RFC 2045, RFC 2046): what they say of themselves, what is in
 * them, and text put into them.
 *
 * The structure is read when a hook first asks for it, once for each view of the message; a message
 * that nobody asks about is never parsed. Parts and everything got from them are borrowed and live
 * until the hook returns. Threads: as in txn.h.
 *
 * Reading is decoding: nothing here changes how the message looks on the wire. Edits are byte
 * splices, as all edits are: what no one edits leaves exactly as it came.
 */
#ifndef POSTERN_PART_H
#define POSTERN_PART_H

#include <postern/settings.h>
#include <postern/txn.h>

struct pn_part;

/*
 * The root of the tree. PN_STAGE_MESSAGE and later. Results: 0; -ENODATA where there are no bytes
 * (see txn.h); -ENOMEM; -ECANCELED; -EOVERFLOW: it cannot be inspected, for it has more parts,
 * levels or header fields than a message needs, or a boundary on which readers differ. Whoever must
 * inspect never passes such a message.
 */
PN_PUBLIC int pn_parts(struct pn_call *call, const struct pn_part **ret, struct pn_error *err);

/*
 * Depth first, in the order of the message: a part, then what is in it. NULL at the end. The
 * message inside a message/rfc822 is its only child, unless it is encoded (RFC 2046 section 5.2.1).
 */
PN_PUBLIC const struct pn_part *pn_part_next(const struct pn_part *part);
/* The next one that is not inside this one. */
PN_PUBLIC const struct pn_part *pn_part_skip(const struct pn_part *part);
PN_PUBLIC const struct pn_part *pn_part_parent(const struct pn_part *part);
PN_PUBLIC const struct pn_part *pn_part_first_child(const struct pn_part *part);
PN_PUBLIC const struct pn_part *pn_part_sibling(const struct pn_part *part);

/* "text/plain", in lower case; what RFC 2045 section 5.2 says where nothing is declared. */
PN_PUBLIC const char *pn_part_type(const struct pn_part *part);
/* `type` is "text/plain" or "text/" followed by an asterisk for all of them; in lower case. */
PN_PUBLIC bool pn_part_is(const struct pn_part *part, const char *type);
/* A parameter of Content-Type, RFC 2231 undone, in UTF-8; NULL if there is none. */
PN_PUBLIC const char *pn_part_parameter(const struct pn_part *part, const char *name);
/* "inline", "attachment" ... in lower case; NULL if nothing is declared. */
PN_PUBLIC const char *pn_part_disposition(const struct pn_part *part);
/* From Content-Disposition or Content-Type, decoded; may contain anything. NULL: none. */
PN_PUBLIC const char *pn_part_filename(const struct pn_part *part);
/* Of a text part, as declared but in lower case, "us-ascii" if nothing is; NULL for others. */
PN_PUBLIC const char *pn_part_charset(const struct pn_part *part);
/* Content-Transfer-Encoding, as declared but in lower case; "7bit" if nothing is. */
PN_PUBLIC const char *pn_part_encoding(const struct pn_part *part);

/*
 * Where it stands: slices of pn_txn_bytes(), so `slice.data - pn_txn_bytes(txn).data` is an offset
 * there. The header ends with its empty line; the body is encoded as it came, and without the CRLF
 * that belongs to the next boundary.
 */
PN_PUBLIC struct pn_slice pn_part_header(const struct pn_part *part);
PN_PUBLIC struct pn_slice pn_part_body(const struct pn_part *part);
/* The `nth` (from 0) field of that name, raw as in pn_header_find(); false if there is none. */
PN_PUBLIC bool pn_part_field(
    const struct pn_part *part, const char *name, size_t nth, struct pn_header *ret);

/*
 * What is in a part without children: the transfer encoding undone. -E2BIG past `most` bytes;
 * -ENOTSUP: an encoding that nobody knows, or a part with children; -ENOMEM; -ECANCELED.
 */
PN_PUBLIC int pn_part_bytes(
    struct pn_call *call, const struct pn_part *part, size_t most, struct pn_slice *ret);
/*
 * The same of a text part as UTF-8, line ends as they are, without a byte order mark. What the
 * declared charset does not explain becomes U+FFFD; an unknown charset is read as US-ASCII. `most`
 * bounds the UTF-8. -ENOTSUP also for what is no text.
 */
PN_PUBLIC int pn_part_text(
    struct pn_call *call, const struct pn_part *part, size_t most, struct pn_slice *ret);

/* The end of the text. */
#define PN_PART_END SIZE_MAX

/*
 * Replaces `length` bytes of the part's text at `offset`, both as pn_part_text() gives it, by
 * `text`: UTF-8, its line ends made those of the part. The core re-encodes it:
 *
 *	- into the part's charset. A character that is not in it: text/html gets a character
 *	  reference; another part becomes UTF-8 as a whole, its Content-Type edited, if all of its
 *	  text can be decoded; else the character becomes '?'.
 *	- into its transfer encoding. Where 7bit or 8bit cannot carry the text (eight-bit characters
 *	  in a part that had none, a line past 998 octets) the part becomes quoted-printable as a
 * whole. A part in base64 is encoded again as a whole; decoded, the rest of it stays as it was.
 *
 * Results: 0; 1 if characters became '?'; -EINVAL: no such place in the text, or overlap with an
 * earlier edit of this hook (also a second edit of a part that is encoded again as a whole);
 * -ENOTSUP: not a text part, or in an encoding or with a header that cannot be edited without harm;
 * -ENOMEM, -EPERM, -ECANCELED.
 */
PN_PUBLIC int pn_part_splice_text(struct pn_call *call, const struct pn_part *part, size_t offset,
    size_t length, struct pn_slice text);
/* The same with nothing replaced. */
PN_PUBLIC int pn_part_insert_text(
    struct pn_call *call, const struct pn_part *part, size_t offset, struct pn_slice text);

/*
 * since ABI 6. The whole message with its eight-bit and binary parts in quoted-printable and base64
 * (RFC 6152 section 3): what is to be signed must not be changed on its way. `*ret` lives until the
 * hook returns, and is pn_txn_bytes() where there is nothing to do. Results: 0; -ENOTSUP: that
 * would break a signature or lose something, which `err` names; -EWOULDBLOCK in a PN_QUICK hook;
 * -ENODATA, -ENOMEM, -EIO, -ECANCELED.
 */
PN_PUBLIC int pn_message_7bit(struct pn_call *call, struct pn_slice *ret, struct pn_error *err);

/* ---- header fields, decoded ------------------------------------------------------------------ */

/* The `nth` field of that name unfolded, RFC 2047 undone, in UTF-8; NULL if there is none. */
PN_PUBLIC const char *pn_header_text(struct pn_call *call, const char *name, size_t nth);

/* A mailbox of an address field (RFC 5322 section 3.4), decoded. */
struct pn_mailbox {
	const char *name;    /* display name in UTF-8; "" for none */
	const char *address; /* "ada@example.org"; not checked for being one */
};
/* The mailboxes of the `nth` field of that name; those of groups as well. 0 if there are none. */
PN_PUBLIC size_t pn_header_mailboxes(
    struct pn_call *call, const char *name, size_t nth, const struct pn_mailbox **ret);

/*
 * The same strictly, for whoever must know whom a field names: the addresses of its mailboxes in
 * canonical form (domain in lower case and A-labels). Since ABI 4. Results: 0; -ENOENT, there is no
 * such field; -EBADMSG, it also has something that is no address, or that one reader takes for an
 * address and another does not ("a@x.example <b@y.example>", words behind a '>', a comment within
 * an address). `ret` then has what was certain.
 */
PN_PUBLIC int pn_header_addresses(
    struct pn_call *call, const char *name, size_t nth, struct pn_strings *ret);

#endif
