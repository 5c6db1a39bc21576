/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_dns.c - unit tests of the thread that asks the DNS: who asks never waits for libunbound, and
 * may go before it answers.
 */
#include "run.h"
#include <arpa/inet.h>
#include <core/net/dns.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct dns *dns;
static int server; /* a name server that says nothing */
static char address[64], folder[64], anchor[80], other[80];

static void
setup(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	struct pn_error err;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(getsockname(server, (struct sockaddr *)&in, &len), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
	strcpy(folder, "/tmp/postern-dns.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(anchor, sizeof(anchor), "%s/anchor", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	ck_assert_int_eq(loop_new(&loop, &err), 0);
	ck_assert_int_eq(dns_new(&dns, &err), 0);
}

static void
teardown(void)
{
	dns_free(&dns);
	loop_free(&loop);
	close(server);
	unlink(anchor);
	rmdir(folder);
}

static void
configure(const char *trust_anchor)
{
	const char *servers[] = { address };
	struct dns_settings settings = {
		.servers = { 1, servers }, .trust_anchor = trust_anchor, .timeout = 60000
	};

	dns_configure(dns, &settings);
}

static void
never(struct dns_request *request)
{
	ck_abort_msg("%s was cancelled, and answered", request->name);
}

static struct dns_request
request_for(const char *name)
{
	struct dns_request request = { .loop = loop, .type = DNS_TYPE_MX, .done = never };

	strcpy(request.name, name);
	return request;
}

/* The anchor is a file that has no end yet: the first question keeps the thread at it. */
START_TEST(nobody_waits_for_the_set_up)
{
	struct dns_request first = request_for("a.example"), second = request_for("b.example");
	int fd;

	ck_assert_int_eq(mkfifo(anchor, 0600), 0);
	configure(anchor);
	dns_ask(dns, &first);
	fd = open(anchor, O_WRONLY | O_CLOEXEC); /* comes back when somebody reads */
	ck_assert_int_ge(fd, 0);
	dns_ask(dns, &second);
	ck_assert(dns_cancel(dns, &second));
	ck_assert(dns_cancel(dns, &first));
	/* libunbound is to find its end. */
	ck_assert_int_eq(close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	ck_assert_int_eq(rename(other, anchor), 0);
	close(fd);
}
END_TEST

START_TEST(asker_may_go)
{
	struct dns_request *request = malloc(sizeof(*request));
	char query[512];

	configure(NULL);
	*request = request_for("a.example");
	dns_ask(dns, request);
	ck_assert_int_gt(recv(server, query, sizeof(query), 0), 0);
	ck_assert(dns_cancel(dns, request));
	free(request);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net_dns");
	TCase *tc = tcase_create("net_dns");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nobody_waits_for_the_set_up);
	tcase_add_test(tc, asker_may_go);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
