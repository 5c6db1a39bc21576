/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.c - the core's own limits on a message, and the replies of those who exceed them.
 *
 * Called by the session when the last byte is there, and by a trial.
 */
#include <core/mail/fixups.h>
#include <core/policy/intake.h>
#include <errno.h>

static void
refuse(struct ruling *ret, int code, const char *enhanced, const char *text)
{
	*ret = (struct ruling){ .kind = code < 500 ? RULING_DEFER : RULING_REJECT,
		.code = code,
		.enhanced = enhanced,
		.text = text };
}

void
intake_bytes(int fault, struct ruling *ret)
{
	*ret = (struct ruling){ .kind = RULING_PASS };
	switch (fault) {
	case 0:
		return;
	case -EBADMSG:
		refuse(ret, 550, "5.6.0", "Bare CR or LF in the message, lines end with CR LF");
		return;
	case -EMSGSIZE:
		refuse(ret, 554, "5.6.0", "A line of the message is too long");
		return;
	case -E2BIG:
		refuse(ret, 552, "5.3.4", "The message is larger than the limit");
		return;
	case -ENOSPC:
		refuse(ret, 452, "4.3.1", "The disk is full, try again later");
		return;
	case -EIO:
		refuse(ret, 452, "4.3.1", "The message could not be stored, try again later");
		return;
	default:
		refuse(ret, 452, "4.3.1", "Not enough memory, try again later");
		return;
	}
}

/* RFC 3030 section 3: octets of any kind are for bodies. */
static bool
is_in_lines(struct pn_slice header)
{
	return !mail_bare_newline(header) &&
	       !(header.len > 0 && memchr(header.data, 0, header.len));
}

/*
 * The front of a large message is its header, but for one that is still without an end where a
 * reload has lowered what it may be meanwhile: what stands behind is not known to be a body.
 */
static bool
is_cut(const struct pn_txn *txn, const struct mail_bytes *bytes)
{
	return bytes->rest && txn->header.body == txn->header.size;
}

void
intake_message(struct pn_txn *txn, struct mail_bytes *bytes, struct ruling *ret)
{
	const struct config_limits *limits = &generation_core(txn->generation)->relay.limits;
	int r = txn_set_message(txn, bytes, (size_t)limits->header_count);

	*ret = (struct ruling){ .kind = RULING_PASS };
	if (r == -E2BIG)
		refuse(ret, 552, "5.3.4", "Too many header fields");
	else if (r == -ENOMEM)
		refuse(ret, 452, "4.3.1", "Not enough memory, try again later");
	else if (r < 0)
		refuse(ret, 451, "4.3.0", "Cannot take the message now, try again");
	else if (txn->header.size > (size_t)limits->header_size || is_cut(txn, bytes))
		refuse(ret, 552, "5.3.4", "The header is larger than the limit");
	else if (txn->facts.binary && !is_in_lines(pn_slice(bytes->data, txn->header.body)))
		refuse(ret, 550, "5.6.0", "The header is not in lines that end in CRLF");
	/* RFC 5321 section 6.3 */
	else if (mail_received_count(mail_bytes_front(bytes), &txn->header) >
		 (size_t)limits->received_fields)
		refuse(ret, 554, "5.4.6", "Too many hops, this mail is looping");
}
