/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - an SMTP load generator: options, the loop, the message.
 *
 * Prints one line of JSON when all messages are answered. With --idle it opens sessions, prints how
 * many stand, and holds them until stdin ends. With --rate it is an open loop: latency counts from
 * the moment a message was due, not from when a session was free for it. One thread.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SIZE_LEAST  512
#define SETUP_MOST  64 /* idle sessions in the making at once */
#define SLOWEST_RUN 600.0

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	stop = 1;
}

/* Base64-like lines: no dot at their start, nothing to compress. */
static void
fill_body(char *to, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";
	uint32_t random = 1;

	for (size_t i = 0; i < len; i++) {
		random = random * 1664525 + 1013904223;
		to[i] = alphabet[random >> 26];
	}
	for (size_t i = 76; i + 2 < len; i += 78)
		memcpy(to + i, "\r\n", 2);
	memcpy(to + len - 2, "\r\n", 2);
}

static int
make_message(struct plan *plan)
{
	char head[SIZE_LEAST];
	int len = snprintf(head, sizeof(head),
	    "From: Load <%s>\r\nTo: r1@%s\r\nSubject: A message of the load generator\r\n"
	    "Date: Mon, 02 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\nMessage-ID: <%s-000000000@load.test>\r\n"
	    "X-Bench-Id: %s-000000000\r\n\r\n",
	    plan->from, plan->domain, plan->tag, plan->tag);

	if (len < 0 || (size_t)len + 8 > sizeof(head))
		return -EINVAL;
	plan->message = malloc(plan->size + 3);
	if (!plan->message)
		return -ENOMEM;
	memcpy(plan->message, head, (size_t)len);
	plan->id_at[0] = (size_t)(strstr(head, "Message-ID: <") - head) + 14 + strlen(plan->tag);
	plan->id_at[1] = (size_t)len - 4 - 9;
	fill_body(plan->message + len, plan->size - (size_t)len);
	memcpy(plan->message + plan->size, ".\r\n", 3);
	return 0;
}

static int
make_auth(struct plan *plan)
{
	char plain[512];
	int len = snprintf(plain, sizeof(plain), "%c%s%c%s", 0, plan->user, 0, plan->password);

	if (len < 0 || (size_t)len >= sizeof(plain))
		return -EINVAL;
	plan->auth = malloc(sizeof(plain) * 2);
	if (!plan->auth)
		return -ENOMEM;
	strcpy(plan->auth, "AUTH PLAIN ");
	EVP_EncodeBlock((unsigned char *)plan->auth + 11, (const unsigned char *)plain, len);
	strcat(plan->auth, "\r\n");
	return 0;
}

int
plan_prepare(struct plan *plan)
{
	int r = plan->idle ? 0 : make_message(plan);

	if (r == 0 && plan->user)
		r = make_auth(plan);
	return r;
}

void
plan_free(struct plan *plan)
{
	free(plan->message);
	free(plan->auth);
	figures_free(&plan->figures);
	if (plan->acked)
		fclose(plan->acked);
}

double
plan_due(const struct plan *plan, double now)
{
	/* Through failures, what counts is what was accepted. */
	uint64_t used = plan->reconnect > 0 ? plan->figures.accepted + plan->in_flight
					    : plan->begun;
	double due = plan->rate > 0 ? plan->start + (double)plan->begun / plan->rate : now;

	if (stop || used >= plan->messages)
		return -1;
	return due <= now ? 0 : due;
}

/* Wakes those whose time has come; gives the time until the next, at most a second. */
static double
run_waiting(struct plan *plan, struct client *clients)
{
	double now = figures_now(), next = now + 1;

	for (unsigned i = 0; i < plan->sessions; i++) {
		if (clients[i].waits && (clients[i].pause_until <= now || stop))
			client_next(&clients[i]);
		if (clients[i].waits && clients[i].pause_until < next)
			next = clients[i].pause_until;
	}
	return next > now ? next - now : 0;
}

static void
run_events(struct plan *plan, double seconds)
{
	struct epoll_event events[256];
	struct timespec timeout = { .tv_sec = (time_t)seconds };
	int n;

	timeout.tv_nsec = (long)((seconds - (double)timeout.tv_sec) * 1e9);
	n = epoll_pwait2(plan->epoll, events, 256, &timeout, NULL);
	for (int i = 0; i < n; i++)
		client_on_event(events[i].data.ptr, events[i].events);
}

/* Nothing was accepted for as long as failures are put up with. */
static bool
given_up(const struct plan *plan)
{
	const struct figures *figures = &plan->figures;
	double since = figures->last > 0 ? figures->last : plan->start;

	return plan->reconnect > 0 && figures_now() - since > plan->reconnect;
}

static int
run_load(struct plan *plan, struct client *clients)
{
	double end = plan->start + SLOWEST_RUN;

	for (unsigned i = 0; i < plan->sessions; i++)
		client_next(&clients[i]);
	while (plan->ended < plan->sessions) {
		run_events(plan, run_waiting(plan, clients));
		if (figures_now() > end || given_up(plan))
			break;
	}
	figures_print(&plan->figures);
	return plan->ended < plan->sessions;
}

static void
print_idle(const struct plan *plan, const struct client *clients)
{
	unsigned standing = 0;

	for (unsigned i = 0; i < plan->sessions; i++)
		standing += clients[i].step == STEP_READY;
	printf("{\"idle\": %u, \"wanted\": %u, \"reason\": \"%s\"}\n", standing, plan->sessions,
	    plan->figures.reasons[0].text);
	fflush(stdout);
}

/* Reads stdin to its end; sessions that the server closes meanwhile show in the last count. */
static int
run_idle(struct plan *plan, struct client *clients)
{
	unsigned begun = 0;
	double end = plan->start + SLOWEST_RUN;
	char byte;

	while (plan->ended < plan->sessions && figures_now() < end && !stop) {
		while (begun < plan->sessions && begun - plan->ended < SETUP_MOST)
			client_connect(&clients[begun++]);
		run_events(plan, 1);
	}
	print_idle(plan, clients);
	while (!stop && read(STDIN_FILENO, &byte, 1) > 0)
		;
	run_events(plan, 0);
	print_idle(plan, clients);
	return plan->figures.failed > 0;
}

static void
usage(void)
{
	fputs("usage: load --to ADDRESS:PORT [--sessions N] [--messages N] [--per-connection N]\n"
	      "            [--size BYTES] [--recipients N] [--rate PER_SECOND] [--starttls]\n"
	      "            [--auth USER:PASSWORD] [--no-pipelining] [--from ADDRESS]\n"
	      "            [--domain NAME] [--domains N] [--tag TEXT] [--acked FILE] [--reconnect "
	      "SECONDS]\n"
	      "       load --to ADDRESS:PORT --idle N [--starttls] [--auth USER:PASSWORD]\n",
	    stderr);
	exit(2);
}

static void
parse_server(struct plan *plan, char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		usage();
	*colon = '\0';
	plan->server.sin_family = AF_INET;
	plan->server.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, text, &plan->server.sin_addr) != 1)
		usage();
}

static void
parse_auth(struct plan *plan, char *text)
{
	char *colon = strchr(text, ':');

	if (!colon)
		usage();
	*colon = '\0';
	plan->user = text;
	plan->password = colon + 1;
}

static void
parse_option(struct plan *plan, int option, char *value)
{
	switch (option) {
	case 'a':
		parse_auth(plan, value);
		break;
	case 'A':
		plan->acked = fopen(value, "we");
		break;
	case 'd':
		plan->domain = value;
		break;
	case 'f':
		plan->from = value;
		break;
	case 'g':
		plan->tag = value;
		break;
	case 'r':
		plan->rate = strtod(value, NULL);
		break;
	case 'R':
		plan->reconnect = strtod(value, NULL);
		break;
	case 's':
		plan->starttls = true;
		break;
	case 'P':
		plan->pipelining = false;
		break;
	case 't':
		parse_server(plan, value);
		break;
	default:
		usage();
	}
}

static void
parse_count(struct plan *plan, int option, const char *value)
{
	unsigned long number = strtoul(value, NULL, 10);

	if (number == 0)
		usage();
	if (option == 'i')
		plan->idle = true;
	if (option == 'i' || option == 'n')
		plan->sessions = (unsigned)number;
	else if (option == 'm')
		plan->messages = number;
	else if (option == 'c')
		plan->per_connection = (unsigned)number;
	else if (option == 'D')
		plan->domains = (unsigned)number;
	else if (option == 'S')
		plan->size = number < SIZE_LEAST ? SIZE_LEAST : number;
	else
		plan->recipients = (unsigned)number;
}

static void
parse_options(struct plan *plan, int argc, char **argv)
{
	static const struct option options[] = { { "to", 1, NULL, 't' },
		{ "sessions", 1, NULL, 'n' }, { "messages", 1, NULL, 'm' },
		{ "per-connection", 1, NULL, 'c' }, { "size", 1, NULL, 'S' },
		{ "recipients", 1, NULL, 'k' }, { "rate", 1, NULL, 'r' },
		{ "starttls", 0, NULL, 's' }, { "auth", 1, NULL, 'a' },
		{ "no-pipelining", 0, NULL, 'P' }, { "from", 1, NULL, 'f' },
		{ "domain", 1, NULL, 'd' }, { "domains", 1, NULL, 'D' }, { "tag", 1, NULL, 'g' },
		{ "acked", 1, NULL, 'A' }, { "reconnect", 1, NULL, 'R' }, { "idle", 1, NULL, 'i' },
		{ NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (strchr("nmcSkiD", c))
			parse_count(plan, c, optarg);
		else
			parse_option(plan, c, optarg);
	}
	if (optind != argc || plan->server.sin_port == 0 || strlen(plan->from) > 100 ||
	    strlen(plan->domain) > 60 || strlen(plan->tag) > 20)
		usage();
}

int
main(int argc, char **argv)
{
	static struct plan plan = { .sessions = 20,
		.messages = 1000,
		.per_connection = 1,
		.recipients = 1,
		.size = 10240,
		.pipelining = true,
		.from = "load@example.com",
		.domain = "sink.test",
		.tag = "load" };
	struct client *clients;
	int r = 1;

	parse_options(&plan, argc, argv);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	plan.epoll = epoll_create1(EPOLL_CLOEXEC);
	clients = calloc(plan.sessions, sizeof(*clients));
	if (plan.epoll < 0 || !clients || plan_prepare(&plan) < 0) {
		fputs("load: cannot begin\n", stderr);
		return 1;
	}
	for (unsigned i = 0; i < plan.sessions; i++)
		if (client_init(&clients[i], &plan) < 0)
			return 1;
	plan.start = figures_now();
	r = plan.idle ? run_idle(&plan, clients) : run_load(&plan, clients);
	for (unsigned i = 0; i < plan.sessions; i++)
		client_free(&clients[i]);
	free(clients);
	plan_free(&plan);
	close(plan.epoll);
	return r;
}
