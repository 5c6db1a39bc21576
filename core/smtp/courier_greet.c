/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_greet.c - from the greeting to the first letter: EHLO, STARTTLS.
 *
 * Called by courier.c with each reply. Must never go on in clear where the route wants TLS, nor
 * believe after TLS what was offered before it.
 */
#include <core/base/log.h>
#include <core/base/text.h>
#include <core/smtp/courier_parts.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

static bool
is_class(const struct reply *reply, int class)
{
	return reply->code / 100 == class;
}

static void
say_hello(struct courier *courier, enum courier_state state)
{
	const char *word = state == COURIER_HELO         ? "HELO"
			   : courier->parts.target->lmtp ? "LHLO"
							 : "EHLO";

	courier_say(courier, "%s %s\r\n", word, courier->relay_name);
	courier_expect(courier, state, courier->parts.limits->hello);
	courier_flush(courier);
}

void
courier_on_greeting(struct courier *courier, const struct reply *reply)
{
	/* RFC 5321 section 3.1, RFC 7504: any other greeting means "not here, not now". */
	if (reply->code == 220)
		say_hello(courier, COURIER_EHLO);
	else
		courier_break_on(courier, reply);
}

/* ---- what is offered --------------------------------------------------------------------------
 */

static const struct {
	const char *word;
	uint32_t offer;
} extensions[] = {
	{ "PIPELINING", COURIER_OFFERS_PIPELINING },
	{ "8BITMIME", COURIER_OFFERS_8BITMIME },
	{ "SMTPUTF8", COURIER_OFFERS_SMTPUTF8 },
	{ "DSN", COURIER_OFFERS_DSN },
	{ "CHUNKING", COURIER_OFFERS_CHUNKING },
	{ "BINARYMIME", COURIER_OFFERS_BINARYMIME },
	{ "STARTTLS", COURIER_OFFERS_STARTTLS },
	{ "AUTH", COURIER_OFFERS_AUTH },
	{ "SIZE", COURIER_OFFERS_SIZE },
	{ "REQUIRETLS", COURIER_OFFERS_REQUIRETLS },
};

/* The next word of an EHLO line; some servers write "AUTH=PLAIN". */
static struct pn_slice
next_word(struct pn_slice *line)
{
	struct pn_slice word;
	size_t at = 0;

	while (line->len > 0 && (*line->data == ' ' || *line->data == '='))
		*line = pn_slice(line->data + 1, line->len - 1);
	while (at < line->len && line->data[at] != ' ' && line->data[at] != '=')
		at++;
	word = pn_slice(line->data, at);
	*line = pn_slice(line->data + at, line->len - at);
	return word;
}

/* RFC 1870 section 4: none or 0 means that no limit is known. */
static uint64_t
read_size(struct pn_slice digits)
{
	uint64_t size = 0;

	for (size_t i = 0; i < digits.len; i++) {
		if (!isdigit((unsigned char)digits.data[i]) || size > UINT64_MAX / 10 - 1)
			return 0;
		size = size * 10 + (uint64_t)(digits.data[i] - '0');
	}
	return size;
}

static void
read_mechanisms(struct courier *courier, struct pn_slice line)
{
	struct pn_slice word;

	while ((word = next_word(&line)).len > 0) {
		if (text_is(word, "PLAIN"))
			courier->offers |= COURIER_OFFERS_PLAIN;
		else if (text_is(word, "LOGIN"))
			courier->offers |= COURIER_OFFERS_LOGIN;
	}
}

static void
read_offer(struct courier *courier, struct pn_slice line)
{
	struct pn_slice word = next_word(&line);

	if (text_is(word, "SIZE"))
		courier->size_most = read_size(next_word(&line));
	for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++)
		if (text_is(word, extensions[i].word))
			courier->offers |= extensions[i].offer;
	if (text_is(word, "AUTH"))
		read_mechanisms(courier, line);
}

/* ---- ready ------------------------------------------------------------------------------------
 */

void
courier_become_ready(struct courier *courier)
{
	courier->was_ready = true;
	courier->turned_away = false;
	*courier->reason = '\0';
	courier_expect(courier, COURIER_READY, courier->parts.idle_ms);
	courier->parts.events->ready(courier);
	if (courier->state == COURIER_READY && courier->quitting)
		courier_say_quit(courier);
}

/* ---- hello and STARTTLS (RFC 3207) ------------------------------------------------------------
 */

/* The code of an end for want of TLS: for good where RFC 8689 section 4.2.1 says so. */
static const char *
without_tls(struct courier *courier)
{
	courier->unprotected = courier->parts.target->requiretls;
	return courier->unprotected ? "550 5.7.10" : "451 4.7.5";
}

/* Behind a reason. */
static const char *
who_demands(const struct courier_target *target)
{
	return target->terms.sts ? "; the recipient's domain demands it (MTA-STS)" : "";
}

/* RFC 8689 section 4.2.1: QUIT, and the next host has its turn. */
static void
leave_unprotected(struct courier *courier)
{
	courier->unprotected = true;
	courier_say(courier, "QUIT\r\n");
	courier_flush(courier);
	courier_break(courier, "550 5.7.30", "REQUIRETLS is needed and not offered");
}

static void
after_hello(struct courier *courier)
{
	const struct courier_target *target = courier->parts.target;

	if (!courier_is_secure(courier) && target->tls && !courier->in_clear) {
		if (courier->offers & COURIER_OFFERS_STARTTLS) {
			courier_say(courier, "STARTTLS\r\n");
			courier_expect(courier, COURIER_STARTTLS, courier->parts.limits->hello);
			courier_flush(courier);
			return;
		}
		courier->tls_fault = "starttls-not-supported";
		if (target->level != TLS_LEVEL_MAY) {
			courier_break(courier, without_tls(courier),
			    "TLS is required and not offered%s", who_demands(target));
			return;
		}
	}
	if (target->requiretls && !(courier->offers & COURIER_OFFERS_REQUIRETLS))
		leave_unprotected(courier);
	else if (courier_logs_in(target))
		courier_begin_auth(courier);
	else
		courier_become_ready(courier);
}

void
courier_on_ehlo(struct courier *courier, const struct reply *reply)
{
	struct pn_slice line;
	size_t at = 0;

	/* RFC 2033 section 4.1: neither EHLO nor HELO. */
	if (is_class(reply, 5) && !courier_is_secure(courier) && !courier->parts.target->lmtp) {
		say_hello(courier, COURIER_HELO);
		return;
	}
	if (!is_class(reply, 2)) {
		courier_break_on(courier, reply);
		return;
	}
	courier->offers = 0;
	courier->size_most = 0;
	if (reply_line(reply, &at, &line)) /* the first is the server's name */
		while (reply_line(reply, &at, &line))
			read_offer(courier, line);
	after_hello(courier);
}

void
courier_on_helo(struct courier *courier, const struct reply *reply)
{
	if (is_class(reply, 2))
		after_hello(courier);
	else
		courier_break_on(courier, reply);
}

/* The handshake fails; at level may another connection goes without. */
static void
tls_failed(struct courier *courier, int r, const char *why)
{
	const struct courier_target *target = courier->parts.target;
	/* Who hung up has not said what he offers, and what we lack says nothing of him. */
	bool spoken = r == -EPROTO || r == -EKEYREJECTED;

	courier->tls_fault = tls_fault(courier->stream.tls);
	if (target->level == TLS_LEVEL_MAY && !target->implicit_tls)
		courier_again_in_clear(courier, why);
	else
		courier_break(courier, spoken ? without_tls(courier) : "451 4.7.5", "TLS: %s%s",
		    why, who_demands(target));
}

static void
begin_tls(struct courier *courier)
{
	const struct courier_target *target = courier->parts.target;
	int r;

	courier_expect(courier, COURIER_HANDSHAKE, courier->parts.limits->handshake);
	if (target->terms.tlsa_count > 0)
		r = stream_start_tls_dane(
		    &courier->stream, target->tls, target->host, &target->terms);
	else
		r = stream_start_tls(&courier->stream, target->tls, false, target->host);
	if (r < 0)
		tls_failed(courier, r, strerror(-r));
}

void
courier_on_connected(struct courier *courier)
{
	if (!courier->parts.target->implicit_tls)
		courier_expect(courier, COURIER_GREETING, courier->parts.limits->greeting);
	else if (stream_peek(&courier->stream).len > 0)
		courier_break(courier, "451 4.7.5", "TLS: it speaks first, and in clear");
	else
		begin_tls(courier);
}

void
courier_on_starttls(struct courier *courier, const struct reply *reply)
{
	const struct courier_target *target = courier->parts.target;
	char text[COURIER_TEXT / 2];

	if (reply->code != 220) {
		reply_print(reply, text, sizeof(text));
		courier->tls_fault = "starttls-not-supported";
		if (target->level != TLS_LEVEL_MAY) {
			courier_break(courier,
			    is_class(reply, 5) ? without_tls(courier) : "451 4.7.5",
			    "STARTTLS refused: %s%s", text, who_demands(target));
			return;
		}
		log_event(
		    PN_LOG_NOTICE, "tls-fallback", "remote", courier->remote, "reason", text, NULL);
		courier->in_clear = true;
		after_hello(courier);
		return;
	}
	/* What was sent behind the reply was sent by somebody in between (section 5). */
	stream_discard_input(&courier->stream);
	begin_tls(courier);
}

/* What the recipient's domain demands and the connection does not show; NULL: nothing. */
static const char *
broken_terms(const struct courier *courier)
{
	const struct hop_terms *terms = &courier->parts.target->terms;

	if (terms->tlsa_count > 0)
		return courier->tls.dane ? NULL : "the certificate is not what TLSA records say";
	return terms->sts && !courier->tls.verified
		   ? "the certificate is not valid for the host, as the domain's policy demands "
		     "(MTA-STS)"
		   : NULL;
}

void
courier_on_secured(struct courier *courier, const struct pn_error *err)
{
	const struct courier_target *target = courier->parts.target;
	const char *fault;

	courier->heard = true; /* whatever it said */
	if (err) {
		tls_failed(courier, err->code, err->text);
		return;
	}
	tls_facts_of(courier->stream.tls, target->host, &courier->tls);
	if (target->level == TLS_LEVEL_VERIFY && !courier->tls.verified) {
		courier->tls_fault = courier->tls.fault;
		courier_break(courier, without_tls(courier),
		    "TLS: the certificate is not valid for %s%s", target->host,
		    who_demands(target));
		return;
	}
	courier->tls.sts = target->terms.sts && !target->terms.unnamed && courier->tls.verified &&
			   !courier->tls.dane;
	fault = broken_terms(courier);
	if (fault) {
		courier->tls_fault = courier->tls.fault ? courier->tls.fault : "validation-failure";
		courier_break(courier, without_tls(courier), "TLS: %s", fault);
		return;
	}
	courier->offers = 0;
	if (target->implicit_tls)
		courier_expect(courier, COURIER_GREETING, courier->parts.limits->greeting);
	else
		say_hello(courier, COURIER_EHLO);
}

const char *
courier_tls_fault(const struct courier *courier)
{
	return courier->tls_fault;
}
