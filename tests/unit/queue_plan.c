/* SPDX-License-Identifier: Apache-2.0 */
/* queue_plan.c - unit tests of the queue: renderings, demands on TLS, and plans made anew. */
#include "run.h"
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>

#define HELLO "A", "S 220 hop", "C EHLO relay.test"
#define PIPED "S 250-hop\r\n250 PIPELINING"
#define OK    "S 250 2.0.0 ok"
#define GO    "S 354 go on"
#define BYE   "C QUIT", "S 221 bye", "H"
#define LETTER(from, to) \
	"C MAIL FROM:<" from ">", "C RCPT TO:<" to ">", "C DATA", OK, OK, GO, "D", OK
#define LIST(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}
#define WEAK  "503 5.7.0 encryption too weak 0 less than 112"
#define CLEAR "Subject: clear\r\n\r\nsecret\r\n"
#define OTHER "Subject: other\r\n\r\nsealed\r\n"

/* ---- what the queue calls ---------------------------------------------------------------------
 */

/* What the next replan answers, and what was told. */
static struct {
	int r;
	unsigned fails; /* so many times -EAGAIN first */
	bool serves_first, serves_second;
	const char *unserved;
	unsigned asked;
	char *outcomes; /* "replanned 1 tls 503 ..." a line each */
	unsigned sealed, seal_fails;
} policy;

static void
set_body(struct item *item, const char *body)
{
	mail_bytes_release(&item->bytes);
	item->size = strlen(body);
	ck_assert_int_eq(mail_bytes_new(item->size, &item->bytes), 0);
	ck_assert_int_eq(mail_bytes_append(item->bytes, body, item->size, 1000), 0);
}

static struct item *
make_child(const struct item *item, const uint32_t *indices, size_t count)
{
	struct item *child = scene_item(item->envelope.sender, "");
	uint32_t *replaced = arena_alloc(&child->arena, count * sizeof(*replaced));

	child->envelope.count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!(indices[i] == 0 ? policy.serves_first : policy.serves_second))
			continue;
		mail_envelope_add(
		    &child->envelope, &child->arena, item->envelope.recipients[indices[i]].address);
		replaced[child->replaced_count++] = indices[i];
	}
	item_prepare(child);
	for (size_t i = 0; i < child->envelope.count; i++) {
		child->recipients[i].plan.method = "smime";
		child->recipients[i].plan.number = 2;
	}
	set_body(child, OTHER);
	memcpy(child->id, item->id, ITEM_ID_SIZE); /* as a chain would: the queue knows better */
	child->replaced = replaced;
	return child;
}

static void
on_replan(void *arg, struct queue *queue, struct item *item, const uint32_t *indices, size_t count,
    const char *why)
{
	struct item *child = NULL;

	policy.asked++;
	ck_assert_str_eq(why, item->resume ? "released" : WEAK);
	ck_assert_ptr_nonnull(item->bytes);
	ck_assert_int_eq(item->recipients[*indices].state, ITEM_REPLANNING);
	if (policy.fails > 0) {
		policy.fails--;
		queue_replanned(queue, item, indices, count, -EAGAIN, NULL, NULL);
		return;
	}
	if (policy.serves_first || policy.serves_second)
		child = make_child(item, indices, count);
	queue_replanned(queue, item, indices, count, 0, child, policy.unserved);
}

static void
on_outcome(void *arg, const struct queue_outcome *outcomes, size_t count)
{
	static const char *const fates[] = { "delivered", "deferred", "failed", "replanned" };

	for (size_t i = 0; i < count; i++) {
		const struct pn_outcome *result = &outcomes[i].result;
		char *before = policy.outcomes;

		ck_assert_uint_eq(result->size, sizeof(*result));
		ck_assert_int_gt(result->at_us, 0);
		policy.outcomes = g_strdup_printf("%s%s %s %s %u %d %d\n", before ? before : "",
		    result->recipient, fates[result->fate], result->method, result->plan,
		    result->tls_bits, result->tls_level);
		g_free(before);
	}
}

static void
on_seal(void *arg, struct item *report, void (*done)(void *done_arg, int r), void *done_arg)
{
	char *text;

	policy.sealed++;
	if (policy.seal_fails > 0) {
		policy.seal_fails--;
		done(done_arg, -EIO);
		return;
	}
	text = g_strdup_printf(
	    "X-Seal: good\r\n%.*s", (int)report->bytes->len, report->bytes->data);
	mail_bytes_release(&report->bytes);
	report->size = strlen(text);
	ck_assert_int_eq(mail_bytes_new(report->size, &report->bytes), 0);
	ck_assert_int_eq(mail_bytes_append(report->bytes, text, report->size, 100000), 0);
	g_free(text);
	done(done_arg, 0);
}

static void
begin(struct scene *scene, const char *const *script, SSL_CTX *tls)
{
	memset(&policy, 0, sizeof(policy));
	scene_begin_with(scene,
	    &(struct queue_parts){ .replan = on_replan, .outcome = on_outcome, .seal = on_seal },
	    script, tls);
}

static void
end(struct scene *scene)
{
	scene_end(scene);
	g_free(policy.outcomes);
	policy.outcomes = NULL;
}

static struct item *
tls_item(const char *recipients, const char *next)
{
	struct item *item = scene_item("a@s.example", recipients);

	set_body(item, CLEAR);
	for (size_t i = 0; i < item->envelope.count; i++)
		item->recipients[i].plan = (struct mail_plan){ .number = 1,
			.method = "tls",
			.next = next,
			.demand = { 112, PN_TLS_ENCRYPTED } };
	return item;
}

static void
check_messages(struct scene *scene, const char *want)
{
	struct pn_slice got = next_hop_messages(scene->hop);

	ck_assert_msg(pn_slice_equals(got, pn_slice_of(want)), "%.*s", (int)got.len, got.data);
}

/* ---- renderings -------------------------------------------------------------------------------
 */

START_TEST(each_gets_his_rendering)
{
	struct scene scene;
	struct item *item = scene_item("a@s.example", "a@r.example b@r.example c@s.example");
	struct mail_rendering *renderings = arena_alloc(&item->arena, 2 * sizeof(*renderings));
	char *text;

	begin(&scene,
	    LIST(HELLO, PIPED, LETTER("bounce@s.example", "b@r.example"),
		LETTER("a@s.example", "a@r.example"), BYE),
	    NULL);
	set_body(item, CLEAR OTHER);
	renderings[0] = (struct mail_rendering){ .len = strlen(CLEAR) };
	renderings[1] = (struct mail_rendering){
		.offset = strlen(CLEAR), .len = strlen(OTHER), .sender = "bounce@s.example"
	};
	item->renderings = renderings;
	item->rendering_count = 2;
	item->recipients[1].plan.rendering = item->recipients[2].plan.rendering = 1;
	scene_accept(&scene, item);
	scene_run(&scene, scene_is_empty);
	text = scene_mailbox(&scene, "c");
	ck_assert_str_eq(
	    text, "Return-Path: <bounce@s.example>\r\nDelivered-To: c@s.example\r\n" OTHER);
	g_free(text);
	scene_close(&scene);
	check_messages(&scene, OTHER CLEAR);
	end(&scene);
}
END_TEST

/* A report about one of them quotes his and nobody else's. */
START_TEST(report_quotes_his_own)
{
	struct scene scene;
	struct item *item = scene_item(
	    "a@s.example", "b@nowhere.example c@nowhere.example d@d.example");
	struct mail_rendering *renderings = arena_alloc(&item->arena, 2 * sizeof(*renderings));
	char *text, *from;

	begin(&scene, NULL, NULL);
	set_body(item, CLEAR OTHER);
	renderings[0] = (struct mail_rendering){ .len = strlen(CLEAR) };
	renderings[1] = (struct mail_rendering){ .offset = strlen(CLEAR), .len = strlen(OTHER) };
	item->renderings = renderings;
	item->rendering_count = 2;
	item->envelope.ret = MAIL_RET_FULL;
	item->recipients[0].plan.rendering = 1;
	scene_accept(&scene, item);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 2);
	text = scene_mailbox(&scene, "a");
	for (from = strstr(text, "Return-Path:"); from; from = strstr(from + 1, "Return-Path:")) {
		char *next = strstr(from + 1, "Return-Path:");
		char *one = next ? g_strndup(from, (gsize)(next - from)) : g_strdup(from);

		ck_assert(!strstr(one, "secret") == !strstr(one, "c@nowhere.example"));
		ck_assert(!strstr(one, "sealed") == !strstr(one, "b@nowhere.example"));
		ck_assert(!strstr(one, "secret") != !strstr(one, "sealed"));
		g_free(one);
	}
	g_free(text);
	end(&scene);
}
END_TEST

/* ---- demands ----------------------------------------------------------------------------------
 */

static const char *const nobody_next[] = { NULL, "" };

/* Nobody is left to ask: it fails with the very words, and none of the body comes back in clear. */
START_TEST(too_weak_is_reported)
{
	struct scene scene;
	struct item *item = tls_item("b@r.example", nobody_next[_i]);
	char *text;

	item->envelope.ret = MAIL_RET_FULL;
	begin(&scene, LIST(HELLO, PIPED, BYE), NULL);
	scene_accept(&scene, item);
	scene_run(&scene, scene_is_empty);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "Diagnostic-Code: smtp; " WEAK "\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 5.7.0"));
	ck_assert_ptr_null(strstr(text, "secret"));
	g_free(text);
	ck_assert_uint_eq(policy.asked, 0);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	ck_assert_str_eq(
	    policy.outcomes, "b@r.example failed tls 1 0 0\na@s.example delivered none 1 0 0\n");
	scene_close(&scene);
	check_messages(&scene, "");
	end(&scene);
}
END_TEST

/* A maildir meets it, and what is thrown away does not. */
START_TEST(without_a_network)
{
	struct scene scene;

	begin(&scene, NULL, NULL);
	scene_accept(&scene, tls_item("c@s.example d@d.example", NULL));
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "c"), 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	end(&scene);
}
END_TEST

static int
bits_at(const struct scene *scene, const char *recipient)
{
	struct mail_facts facts = { .client_address = "local", .listener = "" };
	struct config_subject subject = { .facts = &facts, .sender = "", .recipient = recipient };

	return routes_tls_bits(scene->routes, &subject);
}

/* The next hop has TLS, and then it has not: the plan is made anew. */
START_TEST(starttls_is_lost)
{
	SSL_CTX *tls = next_hop_tls("DNS:localhost", NULL);
	struct scene scene;

	begin(&scene,
	    LIST(HELLO, "S 250-hop\r\n250 STARTTLS", "C STARTTLS", "S 220 go", "T", "C EHLO", PIPED,
		LETTER("a@s.example", "b@r.example"), BYE, HELLO, PIPED, HELLO, PIPED,
		LETTER("a@s.example", "b@r.example"), BYE),
	    tls);
	scene.settings.messages_per_connection = 1;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	policy.serves_first = true;
	ck_assert_int_eq(bits_at(&scene, "b@r.example"), -ENOENT);
	scene_accept(&scene, tls_item("b@r.example", "pki"));
	scene_run(&scene, scene_is_empty);
	ck_assert_int_eq(bits_at(&scene, "b@r.example"), 256);
	ck_assert_int_eq(bits_at(&scene, "b@s.example"), -ENOENT);
	ck_assert_int_eq(bits_at(&scene, "b@nowhere.example"), -ENOENT);
	scene_accept(&scene, tls_item("b@r.example", "pki"));
	scene_run(&scene, scene_is_empty);
	ck_assert_int_eq(bits_at(&scene, "b@r.example"), 0);
	ck_assert_uint_eq(scene_figures(&scene).replanned, 1);
	ck_assert_str_eq(policy.outcomes,
	    "b@r.example delivered tls 1 256 1\nb@r.example replanned tls 1 0 0\n"
	    "b@r.example delivered smime 2 0 0\n");
	scene_close(&scene);
	check_messages(&scene, CLEAR OTHER);
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 0);
	end(&scene);
	SSL_CTX_free(tls);
}
END_TEST

enum { KEYS = 6000, THREADS = 4 };

static gpointer
note_many(gpointer arg)
{
	char key[32];

	for (int i = 0; i < KEYS; i++) {
		g_snprintf(key, sizeof(key), "%p %d", (void *)g_thread_self(), i);
		capability_note(arg, key, 128);
		capability_note(arg, "common", i % 2 ? 128 : 256);
		ck_assert_int_eq(capability_bits(arg, key), 128);
		ck_assert_int_ge(capability_bits(arg, "common"), 128);
	}
	return NULL;
}

/* Asked and told by all threads; what was heard of least recently is forgotten. */
START_TEST(next_hops_without_end)
{
	struct capability *capability = capability_new(), *other = capability_hold(capability);
	GThread *threads[THREADS];

	capability_note(capability, "first", 256);
	ck_assert_int_eq(capability_bits(capability, "first"), 256);
	for (int i = 0; i < THREADS; i++)
		threads[i] = g_thread_new("note", note_many, capability);
	for (int i = 0; i < THREADS; i++)
		g_thread_join(threads[i]);
	ck_assert_int_eq(capability_bits(capability, "first"), -ENOENT);
	capability_release(&capability);
	ck_assert_int_eq(capability_bits(other, "common"), 128);
	capability_release(&other);
}
END_TEST

/* ---- replans ----------------------------------------------------------------------------------
 */

#define REPLANNED HELLO, PIPED, HELLO, PIPED, LETTER("a@s.example", "c@r.example"), BYE

START_TEST(some_are_served)
{
	struct scene scene;
	char *text;

	begin(&scene, LIST(REPLANNED), NULL);
	policy.serves_second = true;
	policy.unserved = "550 5.7.1 nobody serves this one";
	scene_accept(&scene, tls_item("b@r.example c@r.example", "pki"));
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(policy.asked, 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "550 5.7.1 nobody serves this one"));
	ck_assert_ptr_nonnull(strstr(text, "b@r.example"));
	ck_assert_ptr_null(strstr(text, "c@r.example"));
	g_free(text);
	scene_close(&scene);
	check_messages(&scene, OTHER);
	end(&scene);
}
END_TEST

START_TEST(nobody_is_served)
{
	struct scene scene;
	char *text;

	begin(&scene, LIST(HELLO, PIPED, BYE), NULL);
	scene_accept(&scene, tls_item("b@r.example c@r.example", "pki"));
	scene_run(&scene, scene_is_empty);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, WEAK));
	g_free(text);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	ck_assert_uint_eq(scene_figures(&scene).failed, 2);
	end(&scene);
}
END_TEST

/* The connection that is too weak closes when it has been idle; then comes the one of the child. */
#define IDLE_MS         1000
#define REPLANNED_LATER HELLO, PIPED, BYE, HELLO, PIPED, LETTER("a@s.example", "c@r.example"), BYE

static void
close_idle(struct scene *scene)
{
	scene->settings.idle_connection_ms = IDLE_MS;
	queue_configure(scene->queue, &scene->settings, scene->routes);
}

/* Policy cannot answer, or there is no room for the new item: later again, and only then. */
START_TEST(replan_is_asked_again)
{
	struct scene scene;

	begin(&scene, LIST(REPLANNED_LATER), NULL);
	close_idle(&scene);
	policy.serves_first = true;
	policy.fails = 2;
	scene_accept(&scene, tls_item("c@r.example", "pki"));
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(policy.asked, 3);
	ck_assert_str_eq(policy.outcomes,
	    "c@r.example deferred tls 1 0 0\nc@r.example deferred tls 1 0 0\n"
	    "c@r.example replanned tls 1 0 0\nc@r.example delivered smime 2 0 0\n");
	scene_close(&scene);
	check_messages(&scene, OTHER);
	end(&scene);
}
END_TEST

/* Of mail that was released: a policy that never answers does not keep it for ever. */
START_TEST(released_mail_ages_too)
{
	struct scene scene;
	struct item *item;
	char *text;

	begin(&scene, NULL, NULL);
	scene.settings.give_up_ms = 1000;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	policy.fails = UINT_MAX;
	item = scene_item("a@s.example", "c@r.example");
	item->resume = "gate";
	scene_accept(&scene, item);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_ge(policy.asked, 1);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "c@r.example"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 4.4.7"));
	ck_assert_ptr_nonnull(strstr(text, "no new plan could be made"));
	g_free(text);
	end(&scene);
}
END_TEST

static bool
has_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred > 0;
}

/* Between two starts the recipient waits as before, with the plan he had. */
START_TEST(replan_after_a_restart)
{
	struct scene scene;

	begin(&scene, LIST(HELLO, PIPED, BYE, REPLANNED_LATER), NULL);
	close_idle(&scene);
	policy.serves_first = true;
	policy.fails = 1;
	scene_accept(&scene, tls_item("c@r.example", "pki"));
	scene_run(&scene, has_deferred);
	scene_close(&scene);
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 1);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(policy.asked, 2);
	scene_close(&scene);
	check_messages(&scene, OTHER);
	end(&scene);
}
END_TEST

START_TEST(unserved_from_the_start)
{
	struct scene scene;
	struct item *item = tls_item("b@r.example c@s.example", "pki");
	char *text;

	begin(&scene, NULL, NULL);
	item->envelope.ret = MAIL_RET_FULL;
	item->recipients[0].plan.unserved = "550 5.7.1 nobody serves this one";
	scene_accept(&scene, item);
	scene_run(&scene, scene_is_empty);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "550 5.7.1 nobody serves this one"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 5.7.1"));
	ck_assert_ptr_null(strstr(text, "Subject: clear"));
	ck_assert_ptr_null(strstr(text, "secret"));
	g_free(text);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "c"), 1);
	end(&scene);
}
END_TEST

/* ---- seals ------------------------------------------------------------------------------------
 */

START_TEST(reports_are_sealed)
{
	struct scene scene;
	char *text;

	begin(&scene, NULL, NULL);
	policy.seal_fails = (unsigned)_i;
	scene_send(&scene, "a@s.example", "b@nowhere.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(policy.sealed, 1 + (unsigned)_i);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "X-Seal: good"));
	g_free(text);
	end(&scene);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("queue_plan");
	TCase *tests = tcase_create("plans");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, each_gets_his_rendering);
	tcase_add_test(tests, report_quotes_his_own);
	tcase_add_loop_test(tests, too_weak_is_reported, 0, 2);
	tcase_add_test(tests, without_a_network);
	tcase_add_test(tests, starttls_is_lost);
	tcase_add_test(tests, next_hops_without_end);
	tcase_add_test(tests, some_are_served);
	tcase_add_test(tests, nobody_is_served);
	tcase_add_test(tests, replan_is_asked_again);
	tcase_add_test(tests, released_mail_ages_too);
	tcase_add_test(tests, replan_after_a_restart);
	tcase_add_test(tests, unserved_from_the_start);
	tcase_add_loop_test(tests, reports_are_sealed, 0, 2);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
