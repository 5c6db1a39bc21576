/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier.c - fuzz target: everything that a next hop could say, all at once, to a courier with
 * three letters. Whatever it is, each recipient gets a result and the courier ends.
 *
 * The first byte: how many recipients a letter has, and whether its message has dots.
 */
#include <arpa/inet.h>
#include <core/base/log.h>
#include <core/smtp/courier.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_RECIPIENTS 8u

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct loop_io listener;
	struct courier_target target;
	struct mail_bytes *bytes[2];
};

struct talk {
	struct world *world;
	struct courier *courier;
	struct pn_slice says;
	struct arena arena;
	struct mail_envelope envelope;
	uint32_t indices[MOST_RECIPIENTS];
	struct courier_result results[MOST_RECIPIENTS];
	struct courier_letter letter;
	unsigned letters;
	int fd;
};

static struct talk *talking;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
check_results(const struct courier_letter *letter)
{
	for (size_t i = 0; i < letter->count; i++)
		must(letter->results[i].outcome != COURIER_OPEN && letter->results[i].reply);
}

static void
send_next(struct talk *talk)
{
	while (talk->letters > 0 && courier_is_ready(talk->courier)) {
		talk->letters--;
		memset(talk->results, 0, sizeof(talk->results));
		talk->letter.results = talk->results;
		if (courier_send(talk->courier, &talk->letter))
			return;
		check_results(&talk->letter);
	}
	if (courier_is_ready(talk->courier))
		courier_quit(talk->courier);
}

static void
on_ready(struct courier *courier)
{
	send_next(courier_arg(courier));
}

static void
on_finished(struct courier *courier, struct courier_letter *letter)
{
	check_results(letter);
	send_next(courier_arg(courier));
}

static void
on_ended(struct courier *courier, const char *reason)
{
	struct talk *talk = courier_arg(courier);

	courier_free(&talk->courier);
	loop_stop(talk->world->loop);
}

static const struct courier_events events = { on_ready, on_finished, on_ended };

/* The other side: says it all, and no more. */
static void
on_connect(struct loop_io *io, uint32_t what)
{
	int fd = accept(io->fd, NULL, NULL);

	if (fd < 0 || !talking)
		return;
	if (send(fd, talking->says.data, talking->says.len, MSG_NOSIGNAL) >= 0)
		shutdown(fd, SHUT_WR);
	if (talking->fd >= 0)
		close(talking->fd);
	talking->fd = fd;
}

static void
listen_here(struct world *world)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	must(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
	must(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	world->target.port = ntohs(address.sin_port);
	world->listener = (struct loop_io){ .ready = on_connect, .fd = fd };
	must(loop_watch(world->loop, &world->listener, EPOLLIN) == 0);
}

static struct world *
make_world(void)
{
	static const char *const messages[2] = { "Subject: x\r\n\r\nbody\r\n", ".\r\n..\r\n.x" };
	static struct world world;

	if (world.loop)
		return &world;
	log_setup("fuzz", PN_LOG_ERROR, LOG_LOGFMT);
	must(loop_new(&world.loop, NULL) == 0 && resolver_new(NULL, &world.resolver) == 0);
	world.target.host = "127.0.0.1";
	world.target.level = TLS_LEVEL_MAY;
	world.target.user = "user";
	world.target.password = pn_slice_of("password");
	must(tls_client_new(TLS_LEVEL_MAY, NULL, TLS_MIN_1_2, &world.target.tls, NULL) == 0);
	for (size_t i = 0; i < 2; i++)
		must(mail_bytes_new(100, &world.bytes[i]) == 0 &&
		     mail_bytes_append(world.bytes[i], messages[i], strlen(messages[i]), 100) == 0);
	listen_here(&world);
	return &world;
}

static void
fill_letter(struct talk *talk, uint8_t how)
{
	size_t count = how % MOST_RECIPIENTS + 1;

	talk->envelope.sender = "a@s.example";
	for (uint32_t i = 0; i < count; i++) {
		mail_envelope_add(&talk->envelope, &talk->arena, "b@r.example");
		talk->indices[i] = i;
	}
	talk->letter = (struct courier_letter){
		.envelope = &talk->envelope,
		.bytes = talk->world->bytes[how >> 7],
		.len = talk->world->bytes[how >> 7]->len,
		.arena = &talk->arena,
		.indices = talk->indices,
		.count = count,
	};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct courier_limits limits = { 500, 500, 500, 500, 500, 500, 500, 500, 500, 500 };
	struct talk talk = { .world = make_world(), .letters = 3, .fd = -1 };
	struct courier_parts parts = {
		.loop = talk.world->loop,
		.resolver = talk.world->resolver,
		.target = &talk.world->target,
		.limits = &limits,
		.relay_name = "relay.test",
		.idle_ms = 500,
		.events = &events,
		.arg = &talk,
	};

	if (size < 1)
		return 0;
	fill_letter(&talk, data[0]);
	talk.says = pn_slice(data + 1, size - 1);
	talk.world->target.user = data[0] & 0x40 ? "user" : NULL;
	talking = &talk;
	must(courier_new(&parts, &talk.courier) == 0);
	loop_run(talk.world->loop);
	must(!talk.courier);
	talking = NULL;
	if (talk.fd >= 0)
		close(talk.fd);
	arena_free(&talk.arena);
	must(talk.world->bytes[0]->references == 1 && talk.world->bytes[1]->references == 1);
	return 0;
}
