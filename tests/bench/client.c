/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - one SMTP client session: connects, secures, authenticates, sends, measures.
 *
 * Called by load.c when its socket is ready or its turn has come. A refusal of any kind costs the
 * connection; that is no polite client's way, but keeps what is measured simple.
 */
#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_PAUSE 0.02 /* seconds between attempts while the server is away */

static void
watch(struct client *client, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = client };
	int how = client->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (client->events == events)
		return;
	client->events = events;
	epoll_ctl(client->plan->epoll, how, client->fd, &event);
}

static void
hang_up(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	client->events = 0;
	client->step = STEP_NONE;
	client->secure = client->handshaken = client->offers_pipelining = false;
	client->offers_size = client->offers_starttls = false;
	client->sent_here = client->asked = client->answered = 0;
	client->in_len = client->out_len = 0;
}

/* This connection is lost, and with it the message in hand. */
static void
fail(struct client *client, const char *reason)
{
	struct plan *plan = client->plan;
	bool stood = client->step == STEP_READY;

	figures_fail(&plan->figures, reason);
	hang_up(client);
	if (client->busy) {
		client->busy = false;
		plan->in_flight--;
	}
	if (plan->idle) {
		plan->ended += !stood;
		return;
	}
	/* The loop goes on with it; from here, a dead server would mean endless recursion. */
	client->pause_until = plan->reconnect > 0 ? figures_now() + RETRY_PAUSE : 0;
	client->waits = true;
}

/* All of the output goes into records at once; 1 sent, 0 the rest later, -1. */
static int
push_sealed(struct client *client)
{
	if (client->handshaken && client->out_len > 0) {
		if (tls13_write(client->tls, client->out, client->out_len) < 0)
			return -1;
		client->out_len = 0;
	}
	return tls13_send(client->tls, client->fd);
}

static int
push_clear(struct client *client)
{
	while (client->out_len > 0) {
		ssize_t n = send(client->fd, client->out, client->out_len, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		client->out += n;
		client->out_len -= (size_t)n;
	}
	return 1;
}

/* Writes what is left of the output. */
static void
push(struct client *client)
{
	int r = client->secure ? push_sealed(client) : push_clear(client);

	if (r < 0) {
		fail(client, "connection lost while writing");
		return;
	}
	if (r == 1 && client->step == STEP_BODY)
		client->body_sent = figures_now();
	watch(client, r == 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void
say(struct client *client, enum client_step step, const char *text, size_t len)
{
	client->step = step;
	client->out = text;
	client->out_len = len;
	push(client);
}

static void
say_text(struct client *client, enum client_step step, const char *text)
{
	say(client, step, text, strlen(text));
}

/* Number `index` of the envelope's commands: MAIL, each RCPT, DATA. */
static size_t
write_command(struct client *client, char *to, unsigned index)
{
	const struct plan *plan = client->plan;
	char size[32] = "";

	if (index == plan->recipients + 1)
		return (size_t)sprintf(to, "DATA\r\n");
	if (index > 0 && plan->domains > 0)
		return (size_t)sprintf(to, "RCPT TO:<r%u@d%u.%s>\r\n", index,
		    (unsigned)(client->number % plan->domains), plan->domain);
	if (index > 0)
		return (size_t)sprintf(to, "RCPT TO:<r%u@%s>\r\n", index, plan->domain);
	if (client->offers_size)
		sprintf(size, " SIZE=%zu", plan->size);
	return (size_t)sprintf(to, "MAIL FROM:<%s>%s\r\n", plan->from, size);
}

static void
say_envelope(struct client *client)
{
	unsigned last = client->plan->recipients + 1;
	size_t len = 0;

	do
		len += write_command(client, client->commands + len, client->asked++);
	while (client->asked <= last && client->plan->pipelining && client->offers_pipelining);
	say(client, STEP_ENVELOPE, client->commands, len);
}

static void
say_message(struct client *client)
{
	struct plan *plan = client->plan;
	char number[16];

	snprintf(number, sizeof(number), "%09llu", (unsigned long long)client->number % 1000000000);
	for (int i = 0; i < 2; i++)
		memcpy(client->message + plan->id_at[i], number, 9);
	say(client, STEP_BODY, client->message, plan->size + 3);
}

static void
on_ready(struct client *client)
{
	client->step = STEP_READY;
	if (client->plan->idle) {
		client->plan->ended++;
		return;
	}
	client->asked = client->answered = 0;
	say_envelope(client);
}

static void
after_ehlo(struct client *client)
{
	struct plan *plan = client->plan;

	if (plan->starttls && !client->secure) {
		if (!client->offers_starttls)
			fail(client, "STARTTLS is not offered");
		else
			say_text(client, STEP_STARTTLS, "STARTTLS\r\n");
	} else if (plan->auth) {
		say_text(client, STEP_AUTH, plan->auth);
	} else {
		on_ready(client);
	}
}

static void
start_tls(struct client *client)
{
	client->step = STEP_HANDSHAKE;
	client->secure = true;
	if (tls13_begin(client->tls) < 0)
		fail(client, "no TLS session");
	else
		push(client);
}

static void
on_accepted(struct client *client)
{
	struct plan *plan = client->plan;

	figures_accept(&plan->figures, client->intended, client->body_sent);
	if (plan->acked)
		fprintf(plan->acked, "%s-%09llu\n", plan->tag,
		    (unsigned long long)client->number % 1000000000);
	client->busy = false;
	plan->in_flight--;
	if (++client->sent_here == plan->per_connection) {
		say_text(client, STEP_QUIT, "QUIT\r\n");
	} else {
		client->step = STEP_READY;
		client_next(client);
	}
}

static void
on_envelope_reply(struct client *client, int code, const char *text)
{
	unsigned last = client->plan->recipients + 1, index = client->answered++;

	if (code != (index == last ? 354 : 250)) {
		fail(client, text);
	} else if (index == last) {
		say_message(client);
	} else if (client->answered == client->asked) {
		say_envelope(client);
	}
}

/* A greeting that is none and a message not taken are something else than a refused command. */
static void
fail_in_step(struct client *client, const char *text)
{
	char reason[600];

	snprintf(reason, sizeof(reason), "%s%s",
	    client->step == STEP_GREETING ? "at the greeting: "
	    : client->step == STEP_BODY   ? "after the data: "
					  : "",
	    text);
	fail(client, reason);
}

/* The last line of a reply. */
static void
on_reply(struct client *client, int code, const char *text)
{
	static const int wanted[] = { [STEP_GREETING] = 220,
		[STEP_EHLO] = 250,
		[STEP_STARTTLS] = 220,
		[STEP_AUTH] = 235,
		[STEP_BODY] = 250 };

	if (client->step == STEP_ENVELOPE) {
		on_envelope_reply(client, code, text);
	} else if (client->step == STEP_QUIT) {
		hang_up(client);
		client_next(client);
	} else if (client->step == STEP_READY) {
		fail(client, text);
	} else if (code != wanted[client->step]) {
		fail_in_step(client, text);
	} else if (client->step == STEP_GREETING) {
		say_text(client, STEP_EHLO, "EHLO load.test\r\n");
	} else if (client->step == STEP_EHLO) {
		after_ehlo(client);
	} else if (client->step == STEP_STARTTLS) {
		start_tls(client);
	} else if (client->step == STEP_AUTH) {
		on_ready(client);
	} else {
		on_accepted(client);
	}
}

static void
on_line(struct client *client, const char *line)
{
	if (client->step == STEP_EHLO) {
		client->offers_pipelining |= strncasecmp(line + 4, "PIPELINING", 10) == 0;
		client->offers_size |= strncasecmp(line + 4, "SIZE", 4) == 0;
		client->offers_starttls |= strncasecmp(line + 4, "STARTTLS", 8) == 0;
	}
	if (line[3] != '-')
		on_reply(client, atoi(line), line);
}

/* Lines in the buffer, as long as this connection lasts. */
static void
read_lines(struct client *client)
{
	char line[512];
	char *lf;

	while (client->fd >= 0 && (lf = memchr(client->in, '\n', client->in_len))) {
		size_t len = (size_t)(lf + 1 - client->in);
		size_t some = len < sizeof(line) ? len : sizeof(line) - 1;

		memcpy(line, client->in, some);
		line[some] = '\0';
		client->in_len -= len;
		memmove(client->in, lf + 1, client->in_len);
		if (some < 4)
			fail(client, "not a reply");
		else
			on_line(client, line);
	}
	if (client->in_len == sizeof(client->in))
		fail(client, "endless reply");
}

/* Text that came: `n` bytes are behind what was there. */
static void
take(struct client *client, size_t n)
{
	client->in_len += n;
	read_lines(client);
}

/* What TLS has made of the records that are there, as long as this connection lasts. */
static void
read_records(struct client *client)
{
	const char *text, *why = NULL;
	size_t len;
	int r;

	while (client->secure && (r = tls13_next(client->tls, &text, &len, &why)) != 0) {
		if (r < 0 || len > sizeof(client->in) - client->in_len) {
			fail(client, r < 0 ? why : "endless reply");
			return;
		}
		memcpy(client->in + client->in_len, text, len);
		take(client, len);
	}
	if (client->secure && !client->handshaken && tls13_is_ready(client->tls)) {
		/* Leaves together with the client's Finished. */
		client->handshaken = true;
		say_text(client, STEP_EHLO, "EHLO load.test\r\n");
	}
}

static ssize_t
pull(struct client *client)
{
	if (client->secure)
		return tls13_receive(client->tls, client->fd);
	return recv(
	    client->fd, client->in + client->in_len, sizeof(client->in) - client->in_len, 0);
}

static void
on_readable(struct client *client)
{
	ssize_t n = pull(client);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 && client->step == STEP_QUIT) {
		hang_up(client);
		client_next(client);
	} else if (n <= 0) {
		fail(client, n < 0 ? strerror(errno) : "connection closed by the server");
	} else if (client->secure) {
		read_records(client);
	} else {
		take(client, (size_t)n);
	}
}

void
client_on_event(struct client *client, uint32_t events)
{
	if (client->fd < 0)
		return;
	if (events & EPOLLOUT)
		push(client);
	if (client->fd >= 0 && events & ~(uint32_t)EPOLLOUT)
		on_readable(client);
}

void
client_connect(struct client *client)
{
	struct plan *plan = client->plan;
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (client->fd < 0) {
		fail(client, strerror(errno));
		return;
	}
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	plan->figures.connections++;
	if (plan->figures.first == 0)
		plan->figures.first = figures_now();
	if (connect(client->fd, (struct sockaddr *)&plan->server, sizeof(plan->server)) < 0 &&
	    errno != EINPROGRESS) {
		fail(client, strerror(errno));
		return;
	}
	client->step = STEP_GREETING;
	watch(client, EPOLLIN);
}

void
client_next(struct client *client)
{
	struct plan *plan = client->plan;
	double now = figures_now(), due = plan_due(plan, now);

	client->waits = false;
	if (due != 0) {
		if (due < 0 && client->fd >= 0) {
			say_text(client, STEP_QUIT, "QUIT\r\n");
		} else if (due < 0) {
			plan->ended++;
		} else {
			client->pause_until = due;
			client->waits = true;
		}
		return;
	}
	client->number = plan->begun++;
	client->intended = plan->rate > 0 ? plan->start + (double)client->number / plan->rate : now;
	client->busy = true;
	plan->in_flight++;
	if (client->fd < 0)
		client_connect(client);
	else
		on_ready(client);
}

int
client_init(struct client *client, struct plan *plan)
{
	memset(client, 0, sizeof(*client));
	client->plan = plan;
	client->fd = -1;
	if (plan->starttls && !(client->tls = tls13_new()))
		return -ENOMEM;
	if (plan->idle)
		return 0;
	client->commands = malloc(512 + (64 + strlen(plan->domain)) * (plan->recipients + 1));
	client->message = malloc(plan->size + 3);
	if (!client->commands || !client->message)
		return -ENOMEM;
	memcpy(client->message, plan->message, plan->size + 3);
	return 0;
}

void
client_free(struct client *client)
{
	hang_up(client);
	tls13_free(client->tls);
	free(client->commands);
	free(client->message);
}
