/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dot.c - finds the end of a message in DATA, undoes and does dot-stuffing.
 *
 * Called by the session for every piece of a body that arrives, straight from the stream's read
 * buffer, and by the courier. Whole lines are looked at with memchr and copied in long runs; only
 * the bytes around line ends, dots and cuts go through the state machine. Must never end a message
 * on anything but CRLF.CRLF, however it is cut into packets.
 */
#include <core/smtp/dot.h>
#include <errno.h>

enum state {
	LINE_START, /* behind CRLF, or at the beginning */
	LINE_DOT,   /* a dot at the line's start, not stored: stuffing or the end */
	LINE_DOT_CR,
	LINE,       /* inside a line */
	LINE_CR,    /* a CR inside a line, not stored */
	AFTER_BARE, /* behind a bare CR or LF, which was stored as CRLF; nothing can end here */
	AFTER_BARE_DOT,
	END
};

/* Each is told apart so that the answer does not depend on which was met first. */
#define FAULT_BARE   0x1u
#define FAULT_LINE   0x2u
#define FAULT_SIZE   0x4u
#define FAULT_MEMORY 0x8u
#define FAULT_FULL   0x10u
#define FAULT_DISK   0x20u

static void
store(struct dot_scanner *scanner, const char *data, size_t len)
{
	int r;

	scanner->size += len;
	if (scanner->size > scanner->most)
		scanner->faults |= FAULT_SIZE;
	if (scanner->faults || !scanner->bytes || len == 0)
		return;
	r = mail_bytes_append(scanner->bytes, data, len, scanner->most);
	if (r < 0)
		dot_scanner_fail(scanner, r);
}

void
dot_scanner_fail(struct dot_scanner *scanner, int r)
{
	scanner->faults |= r == -ENOMEM ? FAULT_MEMORY : r == -ENOSPC ? FAULT_FULL : FAULT_DISK;
}

static void
add_to_line(struct dot_scanner *scanner, size_t len)
{
	scanner->line_len += len;
	if (scanner->line_len > scanner->line_most)
		scanner->faults |= FAULT_LINE;
}

static void
bare_end(struct dot_scanner *scanner)
{
	if (!scanner->normalize)
		scanner->faults |= FAULT_BARE;
	store(scanner, "\r\n", 2);
	scanner->line_len = 0;
	scanner->state = AFTER_BARE;
}

static void
whole_end(struct dot_scanner *scanner)
{
	store(scanner, "\r\n", 2);
	scanner->line_len = 0;
	scanner->state = LINE_START;
}

static void
put(struct dot_scanner *scanner, char c)
{
	store(scanner, &c, 1);
	add_to_line(scanner, 1);
	scanner->state = LINE;
}

/* A byte at a place where it is text, the start of a line end, or a bare LF. */
static void
step_plain(struct dot_scanner *scanner, char c)
{
	if (c == '\r')
		scanner->state = LINE_CR;
	else if (c == '\n')
		bare_end(scanner);
	else
		put(scanner, c);
}

static void
step(struct dot_scanner *scanner, char c)
{
	switch ((enum state)scanner->state) {
	case LINE_START:
		if (c == '.' && scanner->stuffed)
			scanner->state = LINE_DOT;
		else
			step_plain(scanner, c);
		break;
	case LINE_DOT:
		if (c == '\r')
			scanner->state = LINE_DOT_CR;
		else
			step_plain(scanner, c);
		break;
	case LINE_DOT_CR:
	case LINE_CR:
		if (c == '\n') {
			if (scanner->state == LINE_DOT_CR)
				scanner->state = END;
			else
				whole_end(scanner);
			break;
		}
		bare_end(scanner);
		step(scanner, c);
		break;
	case LINE:
		step_plain(scanner, c);
		break;
	case AFTER_BARE:
		step_plain(scanner, c);
		if (c == '.' && scanner->stuffed)
			scanner->state = AFTER_BARE_DOT;
		break;
	case AFTER_BARE_DOT:
		/* Who ends lines in LF has stuffed them too: two dots are one. */
		if (c == '.')
			scanner->state = LINE;
		else
			step_plain(scanner, c);
		break;
	case END:
		break;
	}
}

/* Whole clean lines and the clean beginning of a line, in one run. Returns its length. */
static size_t
run_clean(struct dot_scanner *scanner, const char *data, size_t len)
{
	const char *end = data + len, *at = data;

	while (at < end && !(scanner->state == LINE_START && scanner->stuffed && *at == '.')) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		const char *stop = lf ? lf : end;
		const char *cr = memchr(at, '\r', (size_t)(stop - at));

		if (cr)
			stop = cr;
		if (stop > at) {
			add_to_line(scanner, (size_t)(stop - at));
			scanner->state = LINE;
		}
		at = stop;
		if (!cr || !lf || cr + 1 != lf)
			break;
		at = lf + 1;
		scanner->line_len = 0;
		scanner->state = LINE_START;
	}
	store(scanner, data, (size_t)(at - data));
	return (size_t)(at - data);
}

void
dot_scanner_begin(struct dot_scanner *scanner)
{
	scanner->state = LINE_START;
	scanner->faults = 0;
	scanner->line_len = scanner->size = 0;
}

bool
dot_scanner_feed(struct dot_scanner *scanner, struct pn_slice in, size_t *ret_used)
{
	size_t at = 0;

	if (scanner->binary) {
		store(scanner, in.data, in.len);
		*ret_used = in.len;
		return false;
	}
	while (at < in.len && scanner->state != END) {
		if (scanner->state == LINE || scanner->state == LINE_START)
			at += run_clean(scanner, in.data + at, in.len - at);
		if (at < in.len)
			step(scanner, in.data[at++]);
	}
	*ret_used = at;
	return scanner->state == END;
}

void
dot_scanner_end(struct dot_scanner *scanner)
{
	if (scanner->state == LINE_CR)
		bare_end(scanner);
}

int
dot_scanner_fault(const struct dot_scanner *scanner)
{
	if (scanner->faults & FAULT_BARE)
		return -EBADMSG;
	if (scanner->faults & FAULT_LINE)
		return -EMSGSIZE;
	if (scanner->faults & FAULT_SIZE)
		return -E2BIG;
	if (scanner->faults & FAULT_MEMORY)
		return -ENOMEM;
	if (scanner->faults & FAULT_FULL)
		return -ENOSPC;
	return scanner->faults & FAULT_DISK ? -EIO : 0;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

void
dot_writer_begin(struct dot_writer *writer, struct pn_slice message)
{
	*writer = (struct dot_writer){
		.rest = message,
		.ended_line = message.len == 0 || message.data[message.len - 1] == '\n',
	};
}

void
dot_writer_begin_windows(struct dot_writer *writer, bool plain)
{
	*writer = (struct dot_writer){ .ended_line = true, .more = true, .plain = plain };
}

void
dot_writer_add(struct dot_writer *writer, struct pn_slice window, bool last)
{
	writer->rest = window;
	writer->more = !last;
	writer->again = false;
	writer->begun = !writer->ended_line;
	if (window.len > 0)
		writer->ended_line = window.data[window.len - 1] == '\n';
}

static bool
next_plain(struct dot_writer *writer, struct pn_slice *ret)
{
	*ret = writer->rest;
	writer->rest = pn_slice(NULL, 0);
	writer->done = !writer->more;
	return true;
}

/*
 * Up to and with the next dot that begins a line; 0 if there is none. The range after it begins
 * with that same dot, and so the dot is doubled without a byte of our own.
 */
static size_t
range_to_dot(const struct dot_writer *writer)
{
	const char *begin = writer->rest.data, *end = begin + writer->rest.len;
	const char *at = begin + writer->again;

	while (at < end && (at = memchr(at, '.', (size_t)(end - at)))) {
		if (at == begin ? !writer->begun : at[-1] == '\n')
			return (size_t)(at - begin) + 1;
		at++;
	}
	return 0;
}

bool
dot_writer_next(struct dot_writer *writer, struct pn_slice *ret)
{
	size_t len, keep;

	if (writer->done || dot_writer_wants_more(writer))
		return false;
	if (writer->plain)
		return next_plain(writer, ret);
	if (writer->rest.len == 0) {
		*ret = pn_slice_of(writer->ended_line ? ".\r\n" : "\r\n.\r\n");
		writer->done = true;
		return true;
	}
	len = range_to_dot(writer);
	writer->again = len > 0;
	keep = len > 0 ? len - 1 : writer->rest.len;
	*ret = pn_slice(writer->rest.data, len > 0 ? len : writer->rest.len);
	writer->rest = pn_slice(writer->rest.data + keep, writer->rest.len - keep);
	writer->begun = true;
	return true;
}
