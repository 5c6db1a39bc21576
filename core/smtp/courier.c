/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier.c - a connection to a next hop: addresses in turn, deadlines, replies, the end.
 *
 * Called by core/queue/destination.c. Must never lose a recipient: whatever ends the connection
 * goes through courier_break(), which gives every open one a result. Must never free itself or
 * begin a new connection inside an event of its stream: both wait for the `step` timer.
 */
#include <core/base/log.h>
#include <core/smtp/courier_parts.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MINUTE 60000

const struct courier_limits courier_limits_standard = {
	.connect = 30000,
	.greeting = 5 * MINUTE,
	.hello = 5 * MINUTE,
	.handshake = 1 * MINUTE,
	.mail = 5 * MINUTE,
	.rcpt = 5 * MINUTE,
	.data = 2 * MINUTE,
	.block = 3 * MINUTE,
	.final = 10 * MINUTE,
	.quit = 5000,
};

static const char *const awaited[COURIER_STATES] = {
	[COURIER_CONNECTING] = "a connection",
	[COURIER_GREETING] = "the greeting",
	[COURIER_EHLO] = "the reply to EHLO",
	[COURIER_HELO] = "the reply to HELO",
	[COURIER_STARTTLS] = "the reply to STARTTLS",
	[COURIER_HANDSHAKE] = "the TLS handshake",
	[COURIER_AUTH_PLAIN] = "the reply to AUTH",
	[COURIER_AUTH_LOGIN] = "the reply to AUTH",
	[COURIER_AUTH_USER] = "the reply to AUTH",
	[COURIER_AUTH_PASSWORD] = "the reply to AUTH",
	[COURIER_READY] = "the next message",
	[COURIER_RSET] = "the reply to RSET",
	[COURIER_MAIL] = "the reply to MAIL",
	[COURIER_RCPT] = "the reply to RCPT",
	[COURIER_DATA] = "the reply to DATA",
	[COURIER_FINAL] = "the reply to the message",
	[COURIER_QUIT] = "the reply to QUIT",
};

static void connect_next(struct courier *courier);

static struct courier *
courier_of(struct stream *stream)
{
	return (struct courier *)(void *)((char *)stream - offsetof(struct courier, stream));
}

/* ---- saying -----------------------------------------------------------------------------------
 */

void
courier_say(struct courier *courier, const char *format, ...)
{
	char line[4096];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (courier->state == COURIER_ENDED || courier->state == COURIER_PAUSED)
		return;
	courier->spoke = true;
	if (len < 0 || (size_t)len >= sizeof(line) ||
	    stream_write(&courier->stream, line, (size_t)len) < 0)
		courier_break(courier, "451 4.3.0", "a command does not fit");
}

void
courier_flush(struct courier *courier)
{
	if (courier->state == COURIER_ENDED || courier->state == COURIER_PAUSED)
		return;
	stream_flush(&courier->stream);
	courier->unsent = stream_unsent(&courier->stream);
}

void
courier_expect(struct courier *courier, enum courier_state state, int64_t ms)
{
	if (courier->state == COURIER_ENDED || courier->state == COURIER_PAUSED)
		return;
	courier->state = state;
	courier->unsent = stream_unsent(&courier->stream);
	stream_deadline(&courier->stream, ms);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static void
step_end(struct loop_timer *timer)
{
	struct courier *courier = (struct courier *)(void *)((char *)timer -
							     offsetof(struct courier, step));

	courier->parts.events->ended(courier, *courier->reason ? courier->reason : NULL);
}

static void
step_connect(struct loop_timer *timer)
{
	connect_next((struct courier *)(void *)((char *)timer - offsetof(struct courier, step)));
}

static void
pause_for(struct courier *courier, enum courier_state state, void (*step)(struct loop_timer *))
{
	stream_close(&courier->stream);
	courier->state = state;
	courier->step.fire = step;
	loop_timer_set(courier->parts.loop, &courier->step, 0);
}

/* `reason` says why. What comes next depends on how far we got. */
static void
leave(struct courier *courier)
{
	if (courier->state == COURIER_ENDED)
		return;
	if (!courier->was_ready && courier->address_at + 1 < courier->lookup->request.count) {
		courier->address_at++;
		courier->in_clear = false;
		pause_for(courier, COURIER_PAUSED, step_connect);
		return;
	}
	pause_for(courier, COURIER_ENDED, step_end);
	if (courier->letter) {
		courier->letter->stale = !courier->answered && courier->letters > 1;
		courier_settle_open(courier->letter, COURIER_DEFERRED, courier->reason);
		courier_hand_back(courier);
	}
}

static void PN_PRINTF(3, 0)
    set_reason(struct courier *courier, const char *code, const char *format, va_list args)
{
	char text[COURIER_TEXT / 2];

	vsnprintf(text, sizeof(text), format, args);
	snprintf(courier->reason, sizeof(courier->reason), "%s %.*s: %s", code,
	    (int)(COURIER_TEXT / 3), courier->remote, text);
}

void
courier_break(struct courier *courier, const char *code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_reason(courier, code, format, args);
	va_end(args);
	leave(courier);
}

void
courier_give_up(struct courier *courier, const char *code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_reason(courier, code, format, args);
	va_end(args);
	courier->address_at = courier->lookup->request.count;
	leave(courier);
}

void
courier_break_on(struct courier *courier, const struct reply *reply)
{
	reply_print(reply, courier->reason, sizeof(courier->reason));
	leave(courier);
}

void
courier_again_in_clear(struct courier *courier, const char *why)
{
	log_event(PN_LOG_NOTICE, "tls-fallback", "remote", courier->remote, "reason", why, NULL);
	courier->in_clear = true;
	pause_for(courier, COURIER_PAUSED, step_connect);
}

/* ---- replies ----------------------------------------------------------------------------------
 */

static void
on_unasked(struct courier *courier, const struct reply *reply)
{
	courier_break_on(courier, reply);
}

static void
on_quit(struct courier *courier, const struct reply *reply)
{
	pause_for(courier, COURIER_ENDED, step_end);
}

static void (*const handlers[COURIER_STATES])(struct courier *, const struct reply *) = {
	[COURIER_GREETING] = courier_on_greeting,
	[COURIER_EHLO] = courier_on_ehlo,
	[COURIER_HELO] = courier_on_helo,
	[COURIER_STARTTLS] = courier_on_starttls,
	[COURIER_AUTH_PLAIN] = courier_on_auth,
	[COURIER_AUTH_LOGIN] = courier_on_auth,
	[COURIER_AUTH_USER] = courier_on_auth,
	[COURIER_AUTH_PASSWORD] = courier_on_auth,
	[COURIER_READY] = on_unasked,
	[COURIER_RSET] = courier_on_rset,
	[COURIER_MAIL] = courier_on_mail,
	[COURIER_RCPT] = courier_on_rcpt,
	[COURIER_DATA] = courier_on_data,
	[COURIER_FINAL] = courier_on_final,
	[COURIER_QUIT] = on_quit,
};

static void
connected(struct courier *courier)
{
	if (courier->state != COURIER_CONNECTING)
		return;
	courier->met = true;
	courier_note_ends(courier);
	courier_on_connected(courier);
}

/*
 * A reply that was there before its command was: the next hop has answered something twice, and
 * whom any further reply is about nobody knows. A message may be refused before all of it is read.
 */
static bool
is_out_of_turn(const struct courier *courier)
{
	const struct reply *reply = &courier->parser.reply;

	return courier->ahead && courier->state != COURIER_QUIT &&
	       (courier->state != COURIER_FINAL || reply->code / 100 < 4);
}

static void
take_reply(struct courier *courier)
{
	const struct reply *reply = &courier->parser.reply;

	/* 421 may stand in for any reply (RFC 5321 section 3.8); the peer closes. */
	if (reply->code == 421 && courier->state != COURIER_QUIT) {
		courier_break_on(courier, reply);
		return;
	}
	if (is_out_of_turn(courier)) {
		courier_doubt(courier);
		courier_break(courier, "451 4.5.0", "%d came before %s was asked for", reply->code,
		    awaited[courier->state]);
		return;
	}
	courier->answered = true;
	courier->spoke = false;
	handlers[courier->state](courier, reply);
	courier->ahead = courier->spoke && handlers[courier->state] &&
			 stream_peek(&courier->stream).len > 0;
}

static void
on_input(struct stream *stream)
{
	struct courier *courier = courier_of(stream);
	size_t used;
	int r;

	courier->heard = true;
	connected(courier);
	while (handlers[courier->state] && stream_peek(stream).len > 0) {
		r = reply_parser_feed(&courier->parser, stream_peek(stream), &used);
		stream_consume(stream, used);
		if (r < 0) {
			courier_doubt(courier);
			courier_break(courier, "451 4.5.0", "what came as %s is not SMTP",
			    awaited[courier->state]);
			return;
		}
		if (r == 0)
			return;
		take_reply(courier);
	}
}

static void
on_drained(struct stream *stream)
{
	struct courier *courier = courier_of(stream);

	connected(courier);
	courier_body_go_on(courier);
}

static void
on_secured(struct stream *stream, const struct pn_error *err)
{
	courier_on_secured(courier_of(stream), err);
}

static bool
may_go_in_clear(const struct courier *courier)
{
	return courier->state == COURIER_HANDSHAKE &&
	       courier->parts.target->level == TLS_LEVEL_MAY &&
	       !courier->parts.target->implicit_tls;
}

/* Notes what that says of TLS. */
static bool
lost_in_handshake(struct courier *courier)
{
	if (courier->state != COURIER_HANDSHAKE)
		return false;
	courier->tls_fault = "validation-failure";
	return true;
}

static void
on_lost(struct stream *stream, int r)
{
	struct courier *courier = courier_of(stream);

	if (courier->state == COURIER_QUIT)
		pause_for(courier, COURIER_ENDED, step_end);
	else if (lost_in_handshake(courier) && may_go_in_clear(courier))
		courier_again_in_clear(courier, "connection lost in the handshake");
	else if (courier->state == COURIER_CONNECTING)
		courier_break(courier, "451 4.4.1", "%s", strerror(r < 0 ? -r : ECONNRESET));
	else
		courier_break(courier, "451 4.4.2", "connection lost waiting for %s%s%s",
		    awaited[courier->state], r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
}

static void
on_late(struct stream *stream)
{
	struct courier *courier = courier_of(stream);
	size_t unsent = stream_unsent(stream);

	if (courier->state == COURIER_READY) {
		courier_say_quit(courier);
	} else if (courier->state == COURIER_QUIT) {
		pause_for(courier, COURIER_ENDED, step_end);
	} else if (unsent < courier->unsent) {
		/* Slow, but it moves. */
		courier_expect(courier, courier->state, courier->parts.limits->block);
	} else if (lost_in_handshake(courier) && may_go_in_clear(courier)) {
		courier_again_in_clear(courier, "the handshake took too long");
	} else {
		courier_break(courier,
		    courier->state == COURIER_CONNECTING ? "451 4.4.1" : "451 4.4.2",
		    "timed out waiting for %s", awaited[courier->state]);
	}
}

static const struct stream_events stream_events = {
	.input = on_input,
	.drained = on_drained,
	.secured = on_secured,
	.lost = on_lost,
	.late = on_late,
};

/* ---- the beginning ----------------------------------------------------------------------------
 */

static void
name_remote(struct courier *courier, const struct address *address)
{
	const struct courier_target *target = courier->parts.target;
	char host[ADDRESS_TEXT];

	address_host(address, host);
	if (target->local.len > 0 || strcmp(host, target->host) == 0)
		address_format(address, courier->remote);
	else
		snprintf(courier->remote, sizeof(courier->remote), "%.255s[%s]:%u", target->host,
		    host, (unsigned)target->port);
}

static void
connect_next(struct courier *courier)
{
	const struct address *address = &courier->lookup->request.addresses[courier->address_at];
	int r;

	name_remote(courier, address);
	reply_parser_free(&courier->parser);
	reply_parser_init(&courier->parser);
	courier->tls = (struct tls_facts){ 0 };
	courier->ahead = courier->unprotected = false;
	courier->offers = 0;
	courier->state = COURIER_CONNECTING;
	courier->tried = true;
	r = stream_connect(&courier->stream, courier->parts.loop, address,
	    courier_source(courier->parts.target, address), &stream_events);
	courier->local_fault = courier_is_local(r);
	if (r < 0)
		courier_break(courier, "451 4.4.1", "%s", strerror(-r));
	else
		courier_expect(courier, COURIER_CONNECTING, courier->parts.limits->connect);
}

static void
on_resolved(struct resolve_request *request, int r)
{
	struct courier_lookup *lookup = (struct courier_lookup *)(void *)request;
	struct courier *courier = lookup->courier;

	lookup->pending = false;
	if (!courier) {
		free(lookup);
	} else if (courier->state == COURIER_ENDED) {
		return; /* told to quit meanwhile */
	} else if (r < 0 || request->count == 0) {
		request->count = 0;
		courier_break(courier, "451 4.4.3", "%s",
		    r == -ENOENT ? "no such host" : "cannot find its address");
	} else if (!courier_drop_refused(courier->parts.target, request)) {
		courier->turned_away = true;
		courier_break(courier, "451 4.7.1", "its addresses are not for users' servers");
	} else {
		const char *fault = courier_choose_addresses(courier->parts.target, request);

		if (fault)
			courier_break(courier, "451 4.4.3", "%s", fault);
		else
			connect_next(courier);
	}
}

static void
use_addresses(struct courier_lookup *lookup, const struct courier_target *target)
{
	struct resolve_request *request = &lookup->request;

	request->count = target->address_count < RESOLVE_MOST ? target->address_count
							      : RESOLVE_MOST;
	memcpy(request->addresses, target->addresses, request->count * sizeof(*request->addresses));
	on_resolved(request, 0);
}

int
courier_new(const struct courier_parts *parts, struct courier **ret)
{
	struct courier *courier = calloc(1, sizeof(*courier));
	struct courier_lookup *lookup = calloc(1, sizeof(*lookup));
	char *name = strdup(parts->relay_name);

	if (!courier || !lookup || !name) {
		free(courier);
		free(lookup);
		free(name);
		return -ENOMEM;
	}
	courier->parts = *parts;
	courier->relay_name = name;
	courier->lookup = lookup;
	courier->state = COURIER_RESOLVING;
	reply_parser_init(&courier->parser);
	snprintf(courier->remote, sizeof(courier->remote), "%.255s:%u", parts->target->host,
	    (unsigned)parts->target->port);
	lookup->courier = courier;
	lookup->pending = true;
	snprintf(lookup->request.host, sizeof(lookup->request.host), "%s", parts->target->host);
	lookup->request.port = parts->target->port;
	lookup->request.done = on_resolved;
	*ret = courier;
	if (parts->target->address_count > 0) {
		use_addresses(lookup, parts->target);
		return 0;
	}
	if (parts->target->local.len == 0) {
		resolve_start(parts->resolver, parts->loop, &lookup->request);
		return 0;
	}
	lookup->pending = false;
	lookup->request.addresses[lookup->request.count++] = parts->target->local;
	name_remote(courier, &parts->target->local);
	pause_for(courier, COURIER_PAUSED, step_connect);
	return 0;
}

void
courier_free(struct courier **courier_at)
{
	struct courier *courier = *courier_at;

	if (!courier)
		return;
	*courier_at = NULL;
	courier_body_end(courier);
	stream_close(&courier->stream);
	loop_timer_cancel(courier->parts.loop, &courier->step);
	reply_parser_free(&courier->parser);
	courier->lookup->courier = NULL;
	if (!courier->lookup->pending)
		free(courier->lookup);
	free(courier->relay_name);
	free(courier);
}

void *
courier_arg(const struct courier *courier)
{
	return courier->parts.arg;
}

bool
courier_is_ready(const struct courier *courier)
{
	return courier->state == COURIER_READY && !courier->quitting;
}

const struct tls_facts *
courier_tls(const struct courier *courier)
{
	return &courier->tls;
}

const SSL *
courier_ssl(const struct courier *courier)
{
	return courier_is_secure(courier) ? courier->stream.tls : NULL;
}

const char *
courier_remote(const struct courier *courier)
{
	return courier->remote;
}

uint32_t
courier_letters(const struct courier *courier)
{
	return courier->letters;
}

bool
courier_is_local_fault(const struct courier *courier)
{
	return courier->local_fault && !courier->was_ready;
}

bool
courier_is_unprotected(const struct courier *courier)
{
	return courier->unprotected;
}

bool
courier_is_unheard(const struct courier *courier)
{
	return courier->tried && !courier->heard && !courier->local_fault &&
	       !(courier->abandoned && courier->met);
}

bool
courier_is_turned_away(const struct courier *courier)
{
	return courier->turned_away;
}

void
courier_abandon(struct courier *courier, const char *why)
{
	if (courier->was_ready || courier->state == COURIER_ENDED)
		return;
	courier->abandoned = true;
	courier_give_up(courier, "451 4.4.2", "%s", why);
}

void
courier_say_quit(struct courier *courier)
{
	courier_expect(courier, COURIER_QUIT, courier->parts.limits->quit);
	courier_say(courier, "QUIT\r\n");
	courier_flush(courier);
}

void
courier_quit(struct courier *courier)
{
	courier->quitting = true;
	if (courier->state == COURIER_READY)
		courier_say_quit(courier);
	else if (!courier->was_ready && courier->state != COURIER_ENDED)
		courier_give_up(courier, "451 4.3.2", "not needed any more");
}
