/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_letter.c - a letter's transactions: MAIL, RCPT, DATA or BDAT, and what was answered.
 *
 * Called by courier.c with each reply. Where PIPELINING is offered everything that may go goes in
 * one write; replies are read in the same order either way (RFC 2920). Must never give a recipient
 * a better result than the next hop did, nor forget one.
 */
#include <core/smtp/courier_parts.h>
#include <stdio.h>

/* The least that every server must take in one transaction: RFC 5321 section 4.5.3.1.8. */
#define RECIPIENTS_MOST 100u

static enum courier_outcome
outcome_of(const struct reply *reply)
{
	return reply->code / 100 == 2   ? COURIER_DELIVERED
	       : reply->code / 100 == 5 ? COURIER_FAILED
					: COURIER_DEFERRED;
}

static bool
is_verdict(const struct reply *reply)
{
	return reply->code / 100 != 3;
}

/*
 * Where one reply makes no sense those before it may have been about others: whoever was refused
 * among them is asked about again.
 */
void
courier_doubt(struct courier *courier)
{
	struct courier_letter *letter = courier->letter;

	for (size_t i = 0; letter && i < letter->count; i++) {
		struct courier_result *result = &letter->results[i];

		if (result->outcome == COURIER_FAILED && result->stage == COURIER_ASKED)
			result->outcome = COURIER_OPEN;
	}
}

static void
break_on_garbage(struct courier *courier, const struct reply *reply, const char *command)
{
	courier_doubt(courier);
	courier_break(courier, "451 4.5.0", "reply %d to %s makes no sense", reply->code, command);
}

/* ---- results ----------------------------------------------------------------------------------
 */

static const char *
keep_reply(const struct courier_letter *letter, const struct reply *reply)
{
	char text[COURIER_TEXT];

	reply_print(reply, text, sizeof(text));
	return arena_text(letter->arena, text);
}

void
courier_settle_open(struct courier_letter *letter, enum courier_outcome outcome, const char *text)
{
	const char *kept = NULL;

	for (size_t i = 0; i < letter->count; i++) {
		if (letter->results[i].outcome != COURIER_OPEN)
			continue;
		if (!kept)
			kept = arena_text(letter->arena, text);
		letter->results[i].outcome = outcome;
		letter->results[i].reply = kept;
	}
}

/* Those of this transaction who are at `stage`. */
static void
settle_stage(struct courier_letter *letter, enum courier_stage stage, enum courier_outcome outcome,
    const char *kept)
{
	for (size_t i = 0; i < letter->count; i++) {
		struct courier_result *result = &letter->results[i];

		if (result->outcome == COURIER_OPEN && result->stage == stage) {
			result->outcome = outcome;
			result->reply = kept;
		}
	}
}

void
courier_hand_back(struct courier *courier)
{
	struct courier_letter *letter = courier->letter;

	courier_body_end(courier);
	courier->letter = NULL;
	letter->remote = arena_text(letter->arena, courier->remote);
	letter->tls = courier->tls;
	letter->relayed = !courier->parts.target->lmtp;
	letter->dsn_passed = (courier->offers & COURIER_OFFERS_DSN) != 0;
	courier->parts.events->finished(courier, letter);
}

/* ---- transactions -----------------------------------------------------------------------------
 */

static bool
is_pipelined(const struct courier *courier)
{
	return (courier->offers & COURIER_OFFERS_PIPELINING) != 0;
}

static bool
is_lmtp(const struct courier *courier)
{
	return courier->parts.target->lmtp;
}

static bool
is_asked(const struct courier_result *result)
{
	return result->outcome == COURIER_OPEN && result->stage == COURIER_ASKED;
}

/* The next one whose RCPT is to be answered, from `at` on; `count` where there is none. */
static size_t
next_asked(const struct courier_letter *letter, size_t at)
{
	while (at < letter->count && !is_asked(&letter->results[at]))
		at++;
	return at;
}

static size_t
next_open(const struct courier_letter *letter)
{
	size_t at = 0;

	while (at < letter->count && letter->results[at].outcome != COURIER_OPEN)
		at++;
	return at;
}

static void
choose_recipients(struct courier_letter *letter)
{
	unsigned chosen = 0;

	for (size_t i = 0; i < letter->count && chosen < RECIPIENTS_MOST; i++) {
		struct courier_result *result = &letter->results[i];

		if (result->outcome == COURIER_OPEN) {
			result->stage = COURIER_ASKED;
			chosen++;
		}
	}
}

static void
expect_rcpt(struct courier *courier)
{
	courier_expect(courier, COURIER_RCPT, courier->parts.limits->rcpt);
}

/*
 * RFC 2920 section 3.1: DATA ends a group; BDAT with its octets may be in it (RFC 3030 section 2),
 * unless the number of replies to it hangs on those to RCPT (RFC 2033 section 4.3).
 */
static void
say_rest_ahead(struct courier *courier)
{
	struct courier_letter *letter = courier->letter;

	for (size_t i = next_asked(letter, 0); courier->letter && i < letter->count;
	     i = next_asked(letter, i + 1))
		courier_say_rcpt(courier, i);
	if (!courier->letter)
		return;
	if (!courier->chunked)
		courier_say(courier, "DATA\r\n");
	else if (courier_body_may_be_early(courier) && !is_lmtp(courier))
		courier_body_chunk(courier);
}

static void
begin_transaction(struct courier *courier)
{
	bool reset = courier->needs_reset;

	choose_recipients(courier->letter);
	courier->accepted = 0;
	courier->mail_reply = NULL;
	courier->body_written = false;
	courier->at = next_asked(courier->letter, 0);
	courier->needs_reset = false;
	if (reset)
		courier_say(courier, "RSET\r\n");
	if (!reset || is_pipelined(courier))
		courier_say_mail(courier);
	courier_expect(courier, reset ? COURIER_RSET : COURIER_MAIL, courier->parts.limits->mail);
	if (courier->letter && is_pipelined(courier))
		say_rest_ahead(courier);
	courier_flush(courier);
}

/* `complete`: the server has taken the transaction's end and forgotten its envelope. */
static void
end_transaction(struct courier *courier, bool complete)
{
	struct courier_letter *letter = courier->letter;

	courier->needs_reset = !complete;
	if (courier->mail_reply)
		courier_settle_open(letter, courier->mail_outcome, courier->mail_reply);
	if (next_open(letter) < letter->count) {
		begin_transaction(courier);
		return;
	}
	courier_expect(courier, COURIER_READY, courier->parts.idle_ms);
	courier_hand_back(courier);
	if (courier->state == COURIER_READY && courier->quitting)
		courier_say_quit(courier);
}

void
courier_on_rset(struct courier *courier, const struct reply *reply)
{
	if (reply->code / 100 != 2) {
		courier_break_on(courier, reply);
		return;
	}
	if (!is_pipelined(courier))
		courier_say_mail(courier);
	courier_expect(courier, COURIER_MAIL, courier->parts.limits->mail);
	courier_flush(courier);
}

void
courier_on_mail(struct courier *courier, const struct reply *reply)
{
	struct courier_letter *letter = courier->letter;
	enum courier_outcome outcome = outcome_of(reply);

	if (!is_verdict(reply)) {
		break_on_garbage(courier, reply, "MAIL");
		return;
	}
	if (outcome != COURIER_DELIVERED) {
		courier->mail_reply = keep_reply(letter, reply);
		courier->mail_outcome = outcome;
		if (!is_pipelined(courier)) {
			end_transaction(courier, true);
			return;
		}
	} else if (!is_pipelined(courier)) {
		courier_say_rcpt(courier, courier->at);
	}
	expect_rcpt(courier);
	courier_flush(courier);
}

/* ---- RCPT -------------------------------------------------------------------------------------
 */

/* All of them answered: on to the body, unless nobody wants it or it is on its way. */
static void
after_rcpt(struct courier *courier)
{
	if (courier->body_written) {
		courier_expect_final(courier);
	} else if (is_pipelined(courier) && !courier->chunked) {
		courier_expect(courier, COURIER_DATA, courier->parts.limits->data);
	} else if (courier->accepted == 0) {
		end_transaction(courier, false);
	} else if (courier->chunked) {
		courier_body_chunk(courier);
		courier_flush(courier);
		if (courier->letter)
			courier_expect_final(courier);
		courier_body_go_on(courier);
	} else {
		courier_say(courier, "DATA\r\n");
		courier_expect(courier, COURIER_DATA, courier->parts.limits->data);
		courier_flush(courier);
	}
}

/* "Too many recipients" is 452, and 552 from old servers: RFC 5321 section 4.5.3.1.10. */
static bool
is_too_many(const struct courier *courier, const struct reply *reply)
{
	return (reply->code == 452 || reply->code == 552) && courier->accepted > 0;
}

static void
note_rcpt(struct courier *courier, struct courier_result *result, const struct reply *reply)
{
	enum courier_outcome outcome = outcome_of(reply);

	if (courier->mail_reply) {
		result->outcome = courier->mail_outcome;
		result->reply = courier->mail_reply;
	} else if (outcome == COURIER_DELIVERED) {
		result->stage = COURIER_ACCEPTED;
		courier->accepted++;
	} else if (is_too_many(courier, reply)) {
		result->stage = COURIER_UNASKED;
	} else {
		result->outcome = reply->code == 552 ? COURIER_DEFERRED : outcome;
		result->reply = keep_reply(courier->letter, reply);
	}
}

void
courier_on_rcpt(struct courier *courier, const struct reply *reply)
{
	struct courier_letter *letter = courier->letter;

	if (!is_verdict(reply)) {
		break_on_garbage(courier, reply, "RCPT");
		return;
	}
	note_rcpt(courier, &letter->results[courier->at], reply);
	courier->at = next_asked(letter, courier->at + 1);
	if (courier->at >= letter->count) {
		after_rcpt(courier);
		return;
	}
	if (!is_pipelined(courier))
		courier_say_rcpt(courier, courier->at);
	expect_rcpt(courier);
	courier_flush(courier);
}

/* ---- the message ------------------------------------------------------------------------------
 */

void
courier_on_data(struct courier *courier, const struct reply *reply)
{
	struct courier_letter *letter = courier->letter;

	/* DATA is the last of its group: what stands behind its reply answers nothing. */
	if (reply->code == 354 && stream_peek(&courier->stream).len > 0) {
		courier_doubt(courier);
		courier_break(courier, "451 4.5.0", "something came before the message was sent");
	} else if (reply->code == 354 && courier->accepted > 0) {
		courier_body_begin(courier);
	} else if (reply->code == 354 && is_lmtp(courier)) {
		/* RFC 2033 section 4.2; the refusals stand. */
		courier_break(courier, "451 4.5.0", "reply 354 to DATA for nobody makes no sense");
	} else if (reply->code == 354) {
		/* Nobody is left, but it wants a message: an empty one (RFC 2920 section 3.1). */
		courier_say(courier, ".\r\n");
		courier_flush(courier);
		courier->writer.done = true;
		courier_expect_final(courier);
	} else if (reply->code / 100 == 4 || reply->code / 100 == 5) {
		settle_stage(
		    letter, COURIER_ACCEPTED, outcome_of(reply), keep_reply(letter, reply));
		end_transaction(courier, false);
	} else {
		break_on_garbage(courier, reply, "DATA");
	}
}

/*
 * RFC 2033 section 4.2: the replies come in the order of the recipients. False: this was not the
 * last one. A connection that is lost in between leaves those without a reply deferred, and nobody
 * else.
 */
static bool
settle_next(struct courier *courier, const struct reply *reply)
{
	struct courier_letter *letter = courier->letter;
	size_t left = 0;

	for (size_t i = 0; i < letter->count; i++) {
		struct courier_result *result = &letter->results[i];

		if (result->outcome != COURIER_OPEN || result->stage != COURIER_ACCEPTED)
			continue;
		if (left++ > 0)
			break;
		result->outcome = outcome_of(reply);
		result->reply = keep_reply(letter, reply);
	}
	return left <= 1;
}

void
courier_on_final(struct courier *courier, const struct reply *reply)
{
	struct courier_letter *letter = courier->letter;
	bool early = stream_unsent(&courier->stream) > 0 ||
		     (!courier->body_written && !courier->writer.done);

	if (!is_verdict(reply) || (early && reply->code / 100 == 2)) {
		break_on_garbage(courier, reply, "the message");
		return;
	}
	if (is_lmtp(courier) && !settle_next(courier, reply)) {
		if (early)
			courier_break(courier, "451 4.4.2", "answered before the message was sent");
		else
			courier_expect_final(courier);
		return;
	}
	settle_stage(letter, COURIER_ACCEPTED, outcome_of(reply), keep_reply(letter, reply));
	/* Refused before all of it was sent: what follows cannot be told from commands. */
	if (early)
		courier_break(courier, "451 4.4.2", "answered before the message was sent");
	else
		end_transaction(
		    courier, reply->code / 100 == 2 || !courier->chunked || is_lmtp(courier));
}

/* What can be decided without the next hop. */
static void
settle_ahead(const struct courier *courier, struct courier_letter *letter)
{
	const char *weakness = courier_weakness(courier, letter);
	const char *objection = weakness ? NULL : courier_objection(courier, letter);

	if (weakness)
		courier_settle_open(letter, COURIER_WEAK, weakness);
	if (objection)
		courier_settle_open(letter, COURIER_FAILED, objection);
	for (size_t i = 0; i < letter->count; i++) {
		struct courier_result *result = &letter->results[i];
		uint32_t index = letter->indices[i];
		const char *fault = courier_address_fault(
		    courier, letter, letter->envelope->recipients[index].address);

		if (result->outcome == COURIER_OPEN && fault) {
			result->outcome = COURIER_FAILED;
			result->reply = fault;
		}
	}
}

bool
courier_send(struct courier *courier, struct courier_letter *letter)
{
	settle_ahead(courier, letter);
	courier->letters++;
	letter->unfit = letter->may_convert && courier_is_unfit(courier, letter) &&
			next_open(letter) < letter->count;
	if (letter->unfit || next_open(letter) == letter->count) {
		letter->remote = arena_text(letter->arena, courier->remote);
		letter->tls = courier->tls;
		return false;
	}
	courier->letter = letter;
	courier->answered = false;
	courier->chunked = (courier->offers & COURIER_OFFERS_CHUNKING) != 0;
	courier->writer = (struct dot_writer){ .done = true };
	begin_transaction(courier);
	return true;
}
