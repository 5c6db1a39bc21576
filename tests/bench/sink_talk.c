/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_talk.c - the sink's side of an SMTP conversation: accepts everything, keeps nothing.
 *
 * Called by sink.c with what a connection received; leaves its answers in the output buffer, so
 * that a pipelined batch is answered by one write. Knows no sockets. It is lenient about grammar,
 * as its peers are the programs under test and judged elsewhere.
 */
#include "sink.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void
say(struct talk *talk, const char *text)
{
	size_t len = strlen(text);

	if (len > sizeof(talk->out) - talk->out_len)
		len = sizeof(talk->out) - talk->out_len; /* talk_run() leaves room, so never */
	memcpy(talk->out + talk->out_len, text, len);
	talk->out_len += len;
}

/* True if a fault took over: the step does not happen. */
static bool
faulted(struct talk *talk, struct sink *sink, enum sink_step step)
{
	char text[64];

	for (unsigned i = 0; i < sink->fault_count; i++) {
		struct sink_fault *fault = &sink->faults[i];

		if (fault->step != step || ++fault->arrivals % fault->every != 0)
			continue;
		sink->faulted++;
		if (fault->action == ACTION_DELAY) {
			talk->delay_ms += fault->value;
			continue;
		}
		if (fault->action == ACTION_CLOSE) {
			talk->out_len = 0;
			talk->close = true;
			return true;
		}
		snprintf(text, sizeof(text), "%u %u.0.0 Refused on purpose\r\n", fault->value,
		    fault->value / 100);
		say(talk, text);
		return true;
	}
	return false;
}

static void
forget(struct talk *talk)
{
	talk->mode = TALK_COMMAND;
	talk->have_mail = talk->in_bdat = talk->last = false;
	talk->recipients = 0;
	talk->head_len = 0;
}

/* Writes the value of the id header, or "-" where there is none. */
static void
write_id(const struct talk *talk, const struct sink *sink)
{
	size_t want = strlen(sink->id_header);
	const char *at = talk->head, *end = talk->head + talk->head_len;

	while (at && at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		const char *value = at + want + 1;

		if (!lf || lf - at <= 1)
			break;
		if ((size_t)(lf - at) > want && strncasecmp(at, sink->id_header, want) == 0 &&
		    at[want] == ':') {
			while (value < lf && *value == ' ')
				value++;
			fprintf(sink->ids, "%.*s\n", (int)strcspn(value, "\r\n"), value);
			return;
		}
		at = lf + 1;
	}
	fputs("-\n", sink->ids);
}

static void
message_done(struct talk *talk, struct sink *sink)
{
	unsigned recipients = talk->recipients;

	if (faulted(talk, sink, STEP_DOT)) {
		forget(talk);
		return;
	}
	sink->messages++;
	sink->recipients += recipients;
	sink->last = sink_now();
	if (sink->first == 0)
		sink->first = sink->last;
	if (sink->ids)
		write_id(talk, sink);
	forget(talk);
	say(talk, "250 2.0.0 Ok\r\n");
}

/* Bytes of a message, as they come. */
static void
take(struct talk *talk, struct sink *sink, const char *data, size_t len)
{
	size_t room = TALK_HEAD - talk->head_len;

	sink->bytes += len;
	if (!talk->head || room == 0)
		return;
	memcpy(talk->head + talk->head_len, data, len < room ? len : room);
	talk->head_len += len < room ? len : room;
}

/* How many bytes up to and with CR LF . CR LF; 0 if the end is not among them. */
static size_t
find_end(struct talk *talk, const char *data, size_t len)
{
	static const char end[] = "\r\n.\r\n";
	const char *at = data, *stop = data + len;

	while (at < stop) {
		if (talk->match == 0) {
			at = memchr(at, '\r', (size_t)(stop - at));
			if (!at)
				return 0;
		}
		if (*at == end[talk->match])
			talk->match++;
		else
			talk->match = *at == '\r';
		at++;
		if (talk->match == 5)
			return (size_t)(at - data);
	}
	return 0;
}

static size_t
run_data(struct talk *talk, struct sink *sink, const char *data, size_t len)
{
	size_t end = find_end(talk, data, len);

	take(talk, sink, data, end ? end : len);
	if (end)
		message_done(talk, sink);
	return end ? end : len;
}

static void
chunk_done(struct talk *talk, struct sink *sink)
{
	talk->mode = TALK_COMMAND;
	if (talk->recipients == 0) {
		forget(talk);
		say(talk, "503 5.5.1 No valid recipients\r\n");
	} else if (talk->last) {
		message_done(talk, sink);
	} else {
		say(talk, "250 2.0.0 Continue\r\n");
	}
}

static size_t
run_bdat(struct talk *talk, struct sink *sink, const char *data, size_t len)
{
	size_t some = len < talk->left ? len : (size_t)talk->left;

	take(talk, sink, data, some);
	talk->left -= some;
	if (talk->left == 0)
		chunk_done(talk, sink);
	return some;
}

static void
on_ehlo(struct talk *talk, struct sink *sink)
{
	forget(talk);
	if (faulted(talk, sink, STEP_EHLO))
		return;
	say(talk, "250-sink.test\r\n");
	if (sink->pipelining)
		say(talk, "250-PIPELINING\r\n");
	if (sink->chunking)
		say(talk, "250-CHUNKING\r\n");
	say(talk, "250-SIZE 104857600\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
		  "250 ENHANCEDSTATUSCODES\r\n");
}

static void
on_mail(struct talk *talk, struct sink *sink)
{
	forget(talk);
	if (faulted(talk, sink, STEP_MAIL))
		return;
	talk->have_mail = true;
	say(talk, "250 2.1.0 Ok\r\n");
}

static void
on_rcpt(struct talk *talk, struct sink *sink)
{
	if (!talk->have_mail) {
		say(talk, "503 5.5.1 MAIL first\r\n");
		return;
	}
	if (talk->recipients >= TALK_RECEIVED) {
		say(talk, "452 4.5.3 Too many recipients\r\n");
		return;
	}
	if (faulted(talk, sink, STEP_RCPT))
		return;
	talk->recipients++;
	say(talk, "250 2.1.5 Ok\r\n");
}

static void
on_data(struct talk *talk, struct sink *sink)
{
	if (talk->recipients == 0 || talk->in_bdat) {
		say(talk, "503 5.5.1 No valid recipients\r\n");
		return;
	}
	if (faulted(talk, sink, STEP_DATA))
		return;
	talk->mode = TALK_DATA;
	talk->match = 2; /* a message may begin with its end */
	say(talk, "354 Go ahead\r\n");
}

static void
on_bdat(struct talk *talk, struct sink *sink, const char *arguments)
{
	char *rest;

	talk->left = strtoull(arguments, &rest, 10);
	talk->last = strncasecmp(rest, " LAST", 5) == 0;
	if (!talk->in_bdat && talk->recipients && faulted(talk, sink, STEP_DATA)) {
		/* The bytes follow all the same and must not be read as commands. */
		talk->close = true;
		return;
	}
	talk->in_bdat = true;
	talk->mode = TALK_BDAT;
	if (talk->left == 0)
		chunk_done(talk, sink);
}

static void
command(struct talk *talk, struct sink *sink, const char *line)
{
	if (strncasecmp(line, "EHLO", 4) == 0 || strncasecmp(line, "HELO", 4) == 0) {
		on_ehlo(talk, sink);
	} else if (strncasecmp(line, "MAIL FROM:", 10) == 0) {
		on_mail(talk, sink);
	} else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
		on_rcpt(talk, sink);
	} else if (strcasecmp(line, "DATA") == 0) {
		on_data(talk, sink);
	} else if (strncasecmp(line, "BDAT ", 5) == 0) {
		on_bdat(talk, sink, line + 5);
	} else if (strcasecmp(line, "RSET") == 0) {
		forget(talk);
		say(talk, "250 2.0.0 Ok\r\n");
	} else if (strcasecmp(line, "NOOP") == 0) {
		say(talk, "250 2.0.0 Ok\r\n");
	} else if (strcasecmp(line, "QUIT") == 0) {
		say(talk, "221 2.0.0 Bye\r\n");
		talk->close = true;
	} else {
		say(talk, "500 5.5.2 Unknown command\r\n");
	}
}

/* One line; 0 if it is not there yet. */
static size_t
run_command(struct talk *talk, struct sink *sink, char *data, size_t len)
{
	char *lf = memchr(data, '\n', len);

	if (!lf) {
		if (len > TALK_LINE) {
			say(talk, "500 5.5.2 Line too long\r\n");
			talk->close = true;
		}
		return 0;
	}
	*lf = '\0';
	if (lf > data && lf[-1] == '\r')
		lf[-1] = '\0';
	command(talk, sink, data);
	return (size_t)(lf + 1 - data);
}

void
talk_open(struct talk *talk, struct sink *sink)
{
	forget(talk);
	sink->connections++;
	if (faulted(talk, sink, STEP_CONNECT))
		talk->close = true;
	else
		say(talk, "220 sink.test ESMTP\r\n");
}

void
talk_run(struct talk *talk, struct sink *sink)
{
	size_t done = 0, used;

	while (done < talk->in_len && !talk->close && talk->delay_ms == 0 &&
	       talk->out_len < sizeof(talk->out) / 2) {
		char *data = talk->in + done;
		size_t len = talk->in_len - done;

		if (talk->mode == TALK_DATA)
			used = run_data(talk, sink, data, len);
		else if (talk->mode == TALK_BDAT)
			used = run_bdat(talk, sink, data, len);
		else
			used = run_command(talk, sink, data, len);
		if (used == 0)
			break;
		done += used;
	}
	talk->in_len -= done;
	memmove(talk->in, talk->in + done, talk->in_len);
}
