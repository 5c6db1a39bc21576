/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_qp.c - quoted-printable (RFC 2045 section 6.7), for text that goes into parts.
 *
 * Called by part_edit.c. Must never make a line of more than 76 characters, nor a blank at the end
 * of one.
 */
#include <core/mail/part.h>
#include <errno.h>

#define LINE_MOST 76u

static bool
at_line_end(struct pn_slice bytes, size_t at)
{
	return at == bytes.len ||
	       (bytes.len - at >= 2 && bytes.data[at] == '\r' && bytes.data[at + 1] == '\n');
}

static bool
is_literal(struct pn_slice bytes, size_t at, size_t column)
{
	unsigned char c = (unsigned char)bytes.data[at];

	if (c == ' ' || c == '\t')
		return !at_line_end(bytes, at + 1);
	/* A line of a dot, or one that begins with "From ", is hurt on the way. */
	if (column == 0 && (c == '.' || c == 'F'))
		return false;
	return c > 0x20 && c < 0x7f && c != '=';
}

int
mail_qp_encode(struct pn_slice bytes, size_t column, struct buf *ret)
{
	for (size_t at = 0; at < bytes.len; at++) {
		char code[3] = { bytes.data[at] };
		size_t len = 1;

		if (bytes.data[at] == '\r' && at_line_end(bytes, at)) {
			if (buf_add(ret, "\r\n", 2) < 0)
				return -ENOMEM;
			column = 0;
			at++;
			continue;
		}
		if (!is_literal(bytes, at, column)) {
			unsigned char c = (unsigned char)bytes.data[at];

			code[0] = '=';
			code[1] = "0123456789ABCDEF"[c >> 4];
			code[2] = "0123456789ABCDEF"[c & 15];
			len = 3;
		}
		/* Room for the "=" of a soft line break, unless the line ends here. */
		if (column + len > LINE_MOST - !at_line_end(bytes, at + 1)) {
			if (buf_add(ret, "=\r\n", 3) < 0)
				return -ENOMEM;
			column = 0;
		}
		if (buf_add(ret, code, len) < 0)
			return -ENOMEM;
		column += len;
	}
	return 0;
}
