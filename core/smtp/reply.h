/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - SMTP replies (RFC 5321 section 4.2): writing them, and reading a next hop's.
 *
 * Shared by session and courier. Not locked: one owner at a time.
 */
#ifndef CORE_SMTP_REPLY_H
#define CORE_SMTP_REPLY_H

#include <core/base/buf.h>

#define REPLY_LINE_MOST 512u /* that we write, with CRLF; RFC 5321 section 4.5.3.1.5 */

/*
 * Appends a reply. `text` may have several lines, separated by '\n'; what is longer than a reply
 * line may be is wrapped. Control characters become '?', and bytes that are not ASCII too unless
 * `utf8` (RFC 6531 section 3.7.4.2). `enhanced` stands on every line (RFC 2034 section 4); NULL
 * where the RFC wants none: greeting, HELO, EHLO, 3yz.
 */
int reply_format(struct buf *out, int code, const char *enhanced, const char *text, bool utf8);

/* ---- reading ----------------------------------------------------------------------------------
 */

#define REPLY_READ_LINE_MOST 4096u         /* that we accept, with its end */
#define REPLY_READ_MOST      (32u * 1024u) /* text of all lines together */
#define REPLY_READ_LINES     128u
#define REPLY_ENHANCED_SIZE  12 /* "5.999.999" and a NUL */

struct reply {
	int code;                           /* 200 to 599 */
	char enhanced[REPLY_ENHANCED_SIZE]; /* "5.1.1"; "" where the peer gave none that fits */
	struct buf text; /* without codes, '\n' between lines; whatever bytes the peer sent */
	size_t lines;
};

struct reply_parser {
	struct reply reply; /* valid after reply_parser_feed() returned 1, until the next feed */
	struct buf partial; /* the beginning of a line */
	bool complete;
};

/* Holds no memory before the first feed. */
void reply_parser_init(struct reply_parser *parser);
/*
 * Reads from `in` up to the end of one reply; `*ret_used` says how many bytes belong to it. Feed
 * the rest again for the next reply (PIPELINING).
 * 1: a reply is complete. 0: all was used and more is needed. -EBADMSG: not SMTP (no code, codes
 * that differ between lines). -E2BIG: a line, the text or the number of lines is past its limit.
 * After an error the connection is of no more use. Lines may end in LF alone.
 */
int reply_parser_feed(struct reply_parser *parser, struct pn_slice in, size_t *ret_used);
void reply_parser_free(struct reply_parser *parser); /* may be used again */

/* The lines' texts one after another, for EHLO; begin with `*at` 0. False at the end. */
bool reply_line(const struct reply *reply, size_t *at, struct pn_slice *ret);
/* RFC 3463 status for a DSN: the peer's, else "2.0.0", "4.0.0", "5.0.0" by the code. */
void reply_status(const struct reply *reply, char ret[REPLY_ENHANCED_SIZE]);
/*
 * "550 5.1.1 No such user; second line": on one line, printable ASCII, for logs and diagnostics.
 * Cut to fit `size`, which includes a NUL.
 */
void reply_print(const struct reply *reply, char *ret, size_t size);

#endif
