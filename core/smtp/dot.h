/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dot.h - where a message ends in the stream, both ways (RFC 5321 section 4.5.2).
 *
 * Reading: only CRLF.CRLF ends DATA. Bare CR and bare LF are faults that are reported when all of
 * the message has been consumed, or are made CRLF; they never end anything. Writing: ranges of the
 * message's own bytes that together are its stuffed form, so that nothing is copied.
 */
#ifndef CORE_SMTP_DOT_H
#define CORE_SMTP_DOT_H

#include <core/mail/message.h>

struct dot_scanner {
	struct mail_bytes *bytes; /* borrowed; what was read is appended. NULL: thrown away */
	size_t most;              /* octets of the message */
	size_t line_most;         /* octets of a line without its end */
	bool stuffed;             /* DATA; false for BDAT: dots mean nothing and nothing ends it */
	bool normalize;           /* bare CR or LF becomes CRLF instead of a fault */
	bool binary;              /* BODY=BINARYMIME, by BDAT: octets, not lines */
	/* dot.c's own */
	uint8_t state, faults;
	size_t line_len, size;
};

/* Begins a message. The limits are set by the caller before. */
void dot_scanner_begin(struct dot_scanner *scanner);
/*
 * True when the end of data was read; `*ret_used` says how much of `in` belongs to the message.
 * The result does not depend on where the slices were cut.
 */
bool dot_scanner_feed(struct dot_scanner *scanner, struct pn_slice in, size_t *ret_used);
/* The last chunk of BDAT is in: a CR at its very end was bare. */
void dot_scanner_end(struct dot_scanner *scanner);
/*
 * What was wrong so far; 0: nothing. -EBADMSG: a bare CR or LF. -EMSGSIZE: a line too long. -E2BIG:
 * past `most`. -ENOMEM: memory budget. -ENOSPC, -EIO: what overflows could not be written. The
 * first of these that applies; nothing is stored after it.
 */
int dot_scanner_fault(const struct dot_scanner *scanner);
/* Storing has failed with this. */
void dot_scanner_fail(struct dot_scanner *scanner, int r);

/* ---- writing ----------------------------------------------------------------------------------
 */

struct dot_writer {
	struct pn_slice rest;
	bool begun, again, ended_line, done; /* dot.c's own */
	bool more, plain;
};

/* The message has CRLF line ends; it lives until the last range is sent. */
void dot_writer_begin(struct dot_writer *writer, struct pn_slice message);
/*
 * The same for one that comes in windows: the first is to be added before anything else. `plain`:
 * nothing is stuffed and no end of data is written.
 */
void dot_writer_begin_windows(struct dot_writer *writer, bool plain);
/* The one before has been written. */
void dot_writer_add(struct dot_writer *writer, struct pn_slice window, bool last);
/* There is nothing to write before the next window has been added. */
static inline bool
dot_writer_wants_more(const struct dot_writer *writer)
{
	return writer->more && writer->rest.len == 0;
}
/*
 * The next range; all of them, the last is the end of data, make the stuffed message. False when
 * there are no more, or none in this window. A message without a line that begins with a dot is one
 * range and the end.
 */
bool dot_writer_next(struct dot_writer *writer, struct pn_slice *ret);

#endif
