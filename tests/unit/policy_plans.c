/* SPDX-License-Identifier: Apache-2.0 */
/* policy_plans.c - unit tests of core/policy: wants, selection, groups, renderings, seals. */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <core/policy/replan.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct world world;
static struct item *item;
static struct ruling refused;

static void
setup(void)
{
	world_open(&world);
}

static void
teardown(void)
{
	item_free(&item);
	world_close(&world);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}

#define MESSAGE \
	"From: one@example.org\r\nTo: Two <two@f.example>, three@f.example\r\nCc: " \
	"four@F.example\r\nBcc: five@f.example\r\nSubject: secret\r\n\r\nThe secret is out.\r\n"

#define SELECTOR "  - selector\n  - provider\n"
#define WANTED   "selector: { want: sender, rules: ["

/* ---- the way of one message ------------------------------------------------------------------ */

static bool
rcpt(const char *address)
{
	struct pn_txn *txn = world.txn;
	struct chain_run run = { 0 };
	struct ruling *ruling = &world.ruling;

	mail_envelope_add(&txn->envelope, &txn->arena, address);
	txn->recipient = (int32_t)txn->envelope.count - 1;
	chain_run(&run, txn, PN_STAGE_RECIPIENT, true, ruling);
	if (ruling->kind == RULING_PASS && plans_early(txn, &run, ruling)) {
		ck_assert_int_eq(chain_run(&run, txn, PN_STAGE_SELECT, true, ruling), CHAIN_DONE);
		plans_early_take(txn, &run, ruling);
	}
	if (ruling->kind != RULING_PASS)
		mail_envelope_remove(&txn->envelope, txn->envelope.count - 1);
	txn->recipient = -1;
	return ruling->kind == RULING_PASS;
}

static void
mail(const char *pipeline, const char *sections)
{
	world_run(&world, pipeline, sections);
	world_begin(&world);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_SENDER), RULING_PASS);
}

/* Words separated by blanks; nobody may be refused early. */
static void
rcpts(const char *addresses)
{
	char *copy = strdup(addresses), *save;

	for (char *one = strtok_r(copy, " ", &save); one; one = strtok_r(NULL, " ", &save))
		ck_assert_msg(rcpt(one), "%s: %s", one, world.ruling.text);
	free(copy);
}

static enum plans_step
data(const char *message)
{
	const struct mail_fixups how = {
		.relay_name = "relay.example.org",
		.id = world.txn->id,
		.submission = true,
	};
	enum plans_step step;

	world_message(&world, message);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_int_eq(plans_begin(world.txn, &how), 0);
	step = plans_run(world.txn, &refused);
	item_free(&item);
	if (step == PLANS_DONE) {
		item = txn_to_item(world.txn);
		ck_assert_ptr_nonnull(item);
	}
	return step;
}

/* The rendering of a recipient, with a NUL behind. */
static const char *
rendering(uint32_t index)
{
	struct mail_rendering part = item_rendering(item, index);

	return arena_slice(&item->arena, pn_slice(item->bytes->data + part.offset, part.len));
}

static bool
item_has(const char *text)
{
	return memmem(item->bytes->data, item->bytes->len, text, strlen(text)) != NULL;
}

static size_t
count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text++)
		n++;
	return n;
}

/* ---- mail as it was -------------------------------------------------------------------------- */

START_TEST(nobody_wants)
{
	mail(SELECTOR, "selector: { rules: [\"=fake\"] }\n");
	rcpts("two@f.example three@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_ptr_null(world.txn->plans);
	ck_assert_uint_eq(item->rendering_count, 0);
	ck_assert_ptr_null(item->recipients[0].plan.method);
	ck_assert(!item->wanted && !item->opted_out);
	ck_assert_uint_eq(count(rendering(0), "Received:"), 1);
	ck_assert(item_has("The secret is out."));
}
END_TEST

START_TEST(demands_without_protection)
{
	mail(SELECTOR, "selector: { bits: 256, level: 2 }\n");
	rcpts("two@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_int_eq(item->recipients[0].plan.demand.bits, 256);
	ck_assert_int_eq(item->recipients[0].plan.demand.level, PN_TLS_TRUSTED);
	ck_assert_ptr_null(item->recipients[0].plan.next);
	world_run(&world, SELECTOR, "selector: { bits: 100 }\n");
	world_begin(&world);
	ck_assert(!rcpt("two@f.example"));
	ck_assert_ptr_nonnull(strstr(chain_trace_text(world.txn), "Invalid argument"));
}
END_TEST

/* ---- wanting --------------------------------------------------------------------------------- */

static const struct {
	const char *settings, *message;
	const char *method; /* of the recipient's plan; NULL: no plan was made */
} wants[] = {
	{ "want: sender", MESSAGE, "fake" },
	{ "want: recipient", MESSAGE, "fake" },
	{ "want: message", MESSAGE, NULL },
	{ "want: message", "X-Protect: yes\r\n" MESSAGE, "fake" },
	/* an opt-out silences what was said before it and with it, not what is said later */
	{ "want: sender, opt_out: sender", MESSAGE, NULL },
	{ "want: recipient, opt_out: sender", MESSAGE, "fake" },
	{ "want: sender, opt_out: recipient", MESSAGE, NULL },
	{ "want: recipient, opt_out: message", MESSAGE, "fake" },
	{ "want: recipient, opt_out: message", "X-Opt-Out: yes\r\n" MESSAGE, NULL },
	{ "want: message, opt_out: message", "X-Protect: y\r\nX-Opt-Out: y\r\n" MESSAGE, NULL },
	{ "want: message, opt_out: sender", "X-Protect: y\r\n" MESSAGE, "fake" },
};

START_TEST(who_wants)
{
	char sections[200];

	snprintf(sections, sizeof(sections), "selector: { %s, rules: [\"=fake\"] }\n",
	    wants[_i].settings);
	mail(SELECTOR, sections);
	rcpts("two@f.example");
	ck_assert_int_eq(data(wants[_i].message), PLANS_DONE);
	if (wants[_i].method) {
		ck_assert_str_eq(item->recipients[0].plan.method, wants[_i].method);
		ck_assert(item->wanted && !item->opted_out);
		ck_assert(pn_txn_protection_wanted(world.txn));
	} else {
		ck_assert_ptr_null(world.txn->plans);
		ck_assert(!item->wanted && !pn_txn_protection_wanted(world.txn));
		ck_assert(item_has("The secret is out."));
	}
}
END_TEST

/* ---- at RCPT --------------------------------------------------------------------------------- */

START_TEST(refused_early)
{
	mail(SELECTOR, WANTED "a.example=fake, b.example=reject, c.example=defer, "
			      "d.example=fault, e.example=tls] }\n");
	rcpts("x@a.example x@e.example");
	ck_assert(!rcpt("x@b.example"));
	ck_assert_int_eq(world.ruling.code, 550);
	ck_assert_str_eq(world.ruling.enhanced, "5.7.2");
	ck_assert(!rcpt("x@c.example"));
	ck_assert_str_eq(world.ruling.enhanced, "4.7.2");
	ck_assert(!rcpt("x@d.example"));
	ck_assert_int_eq(world.ruling.code, 451);
	ck_assert(!rcpt("x@other.example"));
	ck_assert_int_eq(world.ruling.code, 550);
	ck_assert_str_eq(world.ruling.enhanced, "5.7.1");
	ck_assert_ptr_nonnull(strstr(world.ruling.text, "administrator"));
	ck_assert_uint_eq(world.txn->envelope.count, 2);
	ck_assert(!world.txn->provisional);
}
END_TEST

/* What the recipient stage did falls with a refusal by selection. */
START_TEST(an_early_refusal_leaves_nothing)
{
	mail("  - picky\n" SELECTOR, WANTED "a.example=fake] }\npicky: { count: yes }\n");
	ck_assert(!rcpt("x@b.example"));
	ck_assert_uint_eq(world.txn->effect_count, 0);
	ck_assert_uint_eq(world.txn->tag_count, 0);
	ck_assert_uint_eq(world.txn->envelope.count, 0);
	rcpts("x@a.example");
	ck_assert_uint_eq(world.txn->effect_count, 1);
}
END_TEST

START_TEST(nobody_selects)
{
	mail("  - selector\n  - provider\n", "selector: { want: message }\n");
	rcpts("two@f.example");
	ck_assert_int_eq(data("X-Protect: y\r\n" MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.code, 550);
	ck_assert_str_eq(refused.enhanced, "5.7.1");
	ck_assert_ptr_nonnull(world.txn->view);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_ABORTED), RULING_PASS);
}
END_TEST

START_TEST(a_method_that_nobody_provides)
{
	mail("  - selector\n", WANTED "f.example=fake] }\n");
	ck_assert(!rcpt("two@f.example"));
	ck_assert_int_eq(world.ruling.code, 451);
	ck_assert_ptr_nonnull(strstr(
	    chain_trace_text(world.txn), "chose the method \"fake\", which nobody provides"));
	mail("  - selector\n  - provider\n",
	    WANTED "f.example=fake] }\nprovider: { enabled: no }\n");
	ck_assert(!rcpt("two@f.example"));
}
END_TEST

/* ---- groups ---------------------------------------------------------------------------------- */

START_TEST(three_groups_and_bcc_alone)
{
	mail("  - selector\n  - provider\n  - sealer\n",
	    WANTED "f.example=fake, e.example=fake-each, t.example=tls, n.example=none] }\n");
	rcpts("two@f.example x@e.example five@f.example x@t.example three@f.example y@e.example "
	      "x@n.example four@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	/* none, tls, {two, three, four}, {x}, {five}, {y} */
	ck_assert_uint_eq(item->rendering_count, 6);
	ck_assert_uint_eq(item->recipients[3].plan.rendering, 1);
	ck_assert_uint_eq(item->recipients[6].plan.rendering, 0);
	ck_assert_str_eq(item->recipients[3].plan.method, "tls");
	ck_assert_str_eq(item->recipients[6].plan.method, "none");
	ck_assert_int_eq(item->recipients[3].plan.demand.bits, 112);
	ck_assert_int_eq(item->recipients[3].plan.demand.level, PN_TLS_ENCRYPTED);
	ck_assert_str_eq(item->recipients[3].plan.next, "");
	ck_assert_int_eq(item->recipients[6].plan.demand.bits, 0);
	ck_assert_uint_eq(item->recipients[0].plan.rendering, item->recipients[4].plan.rendering);
	ck_assert_uint_eq(item->recipients[0].plan.rendering, item->recipients[7].plan.rendering);
	ck_assert_ptr_nonnull(strstr(rendering(0),
	    "X-Group: two@f.example(two@f.example) three@f.example(three@f.example) "
	    "four@f.example(four@f.example)\r\n"));
	ck_assert_ptr_nonnull(strstr(rendering(2), "X-Group: five@f.example(five@f.example)\r\n"));
	ck_assert_ptr_nonnull(strstr(rendering(1), "X-Group: x@e.example(x@e.example)\r\n"));
	for (uint32_t i = 0; i < 8; i++) {
		bool clear = i == 3 || i == 6;

		ck_assert_uint_eq(count(rendering(i), "Received:"), 1);
		ck_assert_uint_eq(count(rendering(i), "X-Seal:"), 1);
		ck_assert_uint_eq(count(rendering(i), "Message-ID:"), 1);
		ck_assert_uint_eq(count(rendering(i), "X-Postern-Method:"), 1);
		ck_assert_ptr_null(strstr(rendering(i), "Bcc"));
		ck_assert_int_eq(strstr(rendering(i), "secret") != NULL, clear);
		ck_assert_int_eq(strncmp(rendering(i), "X-Seal: ", 8), 0);
	}
	/* B-12 */
	ck_assert_ptr_nonnull(strstr(rendering(0), "X-Postern-Method: fake (protection was"));
	ck_assert_ptr_nonnull(strstr(rendering(1), "X-Postern-Method: fake-each (protection"));
	ck_assert_ptr_nonnull(strstr(rendering(3), "X-Postern-Method: TLS (protection was"));
	ck_assert_ptr_nonnull(strstr(rendering(6), "X-Postern-Method: none (protection was"));
	/* nobody sees the Bcc recipient */
	for (uint32_t i = 0; i < 8; i++)
		ck_assert(i == 2 || !strstr(rendering(i), "five@"));
	ck_assert_str_eq(item->recipients[0].plan.entry, "selector");
	ck_assert_str_eq(item->recipients[0].plan.reason, "by rule");
}
END_TEST

/* Nobody's mail is to be on the disk in clear where all are served by a provider. */
START_TEST(no_clear_text_in_the_item)
{
	mail(SELECTOR, WANTED "f.example=fake] }\nprovider: { sender: \"bounces@example.org\" }\n");
	rcpts("two@f.example three@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert(!item_has("secret"));
	ck_assert_uint_eq(item->rendering_count, 1);
	ck_assert_str_eq(item->renderings[0].sender, "bounces@example.org");
	ck_assert_uint_eq(item->size, item->renderings[0].len);
}
END_TEST

START_TEST(too_many_renderings)
{
	const char *sections = WANTED "f.example=fake-each] }\n";

	mail(SELECTOR, sections);
	for (int i = 0; i < 101; i++) {
		char address[40];

		snprintf(address, sizeof(address), "r%d@f.example", i);
		ck_assert(rcpt(address));
	}
	ck_assert_int_eq(data(MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.code, 452);
	ck_assert_str_eq(refused.enhanced, "4.5.3");
	mail_envelope_remove(&world.txn->envelope, 0);
	plans_drop(world.txn->plans);
	world.txn->plans = NULL;
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_uint_eq(item->rendering_count, 100);
}
END_TEST

/* ---- providers that fail --------------------------------------------------------------------- */

#define SECOND "  - selector: { id: second }\n"

static const struct {
	const char *how, *on_fault;
	enum plans_step step;
	int code; /* of the refusal; 0: the first recipient is unserved in an accepted item */
	const char *enhanced;
} failing[] = {
	{ "reject", "defer", PLANS_DONE, 0, "550 5.7.3 No key fits" },
	{ "defer", "defer", PLANS_REFUSED, 451, "4.7.3" },
	{ "fault", "defer", PLANS_REFUSED, 451, "4.7.1" },
	{ "nothing", "defer", PLANS_REFUSED, 451, "4.7.1" },
	{ "bare", "defer", PLANS_REFUSED, 451, "4.7.1" },
	{ "fault", "reject", PLANS_DONE, 0, "550 5.7.1 Refused: a policy check failed" },
};

START_TEST(providers_that_fail)
{
	char pipeline[200], sections[300];

	snprintf(pipeline, sizeof(pipeline),
	    "  - selector\n  - provider: { on_fault: %s }\n" SECOND, failing[_i].on_fault);
	snprintf(sections, sizeof(sections),
	    WANTED "f.example=fake, t.example=tls] }\nprovider: { how: %s }\n"
		   "second: { rules: [\"=tls\"] }\n",
	    failing[_i].how);
	mail(pipeline, sections);
	rcpts("two@f.example x@t.example");
	ck_assert_int_eq(data(MESSAGE), failing[_i].step);
	if (failing[_i].step == PLANS_REFUSED) {
		ck_assert_int_eq(refused.code, failing[_i].code);
		ck_assert_str_eq(refused.enhanced, failing[_i].enhanced);
		return;
	}
	ck_assert_str_eq(item->recipients[0].plan.unserved, failing[_i].enhanced);
	ck_assert_uint_eq(item_rendering(item, 0).len, 0);
	ck_assert_ptr_null(item->recipients[1].plan.unserved);
	ck_assert_ptr_nonnull(strstr(rendering(1), "The secret is out."));
}
END_TEST

/* on_fault: skip: selection goes on behind the entry that chose. */
START_TEST(selection_goes_on)
{
	mail("  - selector\n  - provider: { on_fault: skip }\n" SECOND,
	    WANTED "f.example=fake, e.example=fake] }\nprovider: { how: fault }\n"
		   "second: { rules: [\"f.example=tls\", \"e.example=reject\"] }\n");
	rcpts("two@f.example x@e.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_str_eq(item->recipients[0].plan.method, "tls");
	ck_assert_str_eq(item->recipients[0].plan.entry, "second");
	ck_assert_str_eq(
	    item->recipients[1].plan.unserved, "550 5.7.2 Nothing is good enough here");
}
END_TEST

/* One member's broken key is that member's business: the next entry is asked, or he is unserved. */
START_TEST(a_provider_refuses_members)
{
	mail("  - selector\n  - provider\n" SECOND,
	    WANTED "f.example=fake] }\nprovider: { refuse: t }\n"
		   "second: { rules: [\"two@f.example=tls\"] }\n");
	rcpts("two@f.example three@f.example four@f.example five@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_str_eq(item->recipients[0].plan.method, "tls");
	ck_assert_ptr_nonnull(strstr(
	    item->recipients[0].plan.passed, "provider: the key of two@f.example is broken"));
	ck_assert_str_eq(item->recipients[1].plan.unserved,
	    "550 5.7.1 Mail to this recipient must be protected and no method applies; give the "
	    "recipient's key or another way to your administrator");
	ck_assert_ptr_nonnull(strstr(
	    item->recipients[1].plan.passed, "provider: the key of three@f.example is broken"));
	ck_assert_str_eq(item->recipients[2].plan.method, "fake");
	ck_assert_str_eq(item->recipients[3].plan.method, "fake");
	ck_assert_ptr_null(item->recipients[2].plan.unserved);
	/* clear for `two`, {four}, {five} */
	ck_assert_uint_eq(item->rendering_count, 3);
	ck_assert_ptr_nonnull(strstr(rendering(2), "X-Method: fake"));
	ck_assert_ptr_null(strstr(rendering(2), "The secret is out."));
}
END_TEST

START_TEST(a_provider_refuses_all_members)
{
	mail("  - selector\n  - provider\n" SECOND,
	    WANTED "f.example=fake] }\nprovider: { refuse: t }\n"
		   "second: { rules: [\"two@f.example=fake-each\", \"three@f.example=none\"] }\n");
	rcpts("two@f.example three@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_uint_eq(item->rendering_count, 1);
	ck_assert_ptr_nonnull(item->recipients[0].plan.unserved);
	ck_assert_str_eq(item->recipients[1].plan.method, "none");
}
END_TEST

/* A fault passes: where it leaves nobody else, nothing is refused or reported for good. */
static const struct {
	const char *pipeline, *sections;
	bool early; /* at RCPT already */
} faulted[] = {
	{ "  - selector\n  - provider: { on_fault: skip }\n",
	    WANTED "f.example=fake] }\nprovider: { how: fault }\n", false },
	{ "  - selector\n  - provider: { on_fault: skip }\n" SECOND,
	    WANTED "f.example=fake, t.example=tls] }\nprovider: { how: fault }\n"
		   "second: { rules: [\"e.example=tls\"] }\n",
	    false },
	{ "  - selector: { on_fault: skip }\n  - provider\n" SECOND,
	    WANTED "f.example=fault] }\nsecond: { rules: [\"e.example=fake\"] }\n", true },
};

START_TEST(a_fault_that_leaves_nobody_defers)
{
	mail(faulted[_i].pipeline, faulted[_i].sections);
	ck_assert_int_eq(rcpt("two@f.example"), !faulted[_i].early);
	if (faulted[_i].early) {
		ck_assert_int_eq(world.ruling.code, 451);
		ck_assert_str_eq(world.ruling.enhanced, "4.7.1");
		return;
	}
	if (strstr(faulted[_i].sections, "t.example"))
		rcpts("x@t.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.kind, RULING_DEFER);
	ck_assert_int_eq(refused.code, 451);
	ck_assert_str_eq(refused.enhanced, "4.7.1");
}
END_TEST

START_TEST(tls_knows_who_is_next)
{
	mail("  - selector: { id: first }\n" SECOND "  - provider\n",
	    "first: { want: sender, rules: [\"t.example=tls\"] }\n"
	    "second: { rules: [\"f.example=fake\"] }\n");
	rcpts("x@t.example two@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_str_eq(item->recipients[0].plan.next, "second");
	ck_assert_int_eq(item->recipients[0].plan.demand.bits, 112);
	ck_assert_str_eq(item->recipients[1].plan.passed, "first: no rule");
	ck_assert_ptr_null(item->recipients[1].plan.next);
}
END_TEST

/* A demand of the recipient's own is not met by choosing something else. */
START_TEST(a_demand_is_no_plan)
{
	mail("  - selector: { id: first }\n" SECOND "  - provider\n",
	    "first: { want: sender, bits: 256, level: 1, rules: [\"t.example=tls\"] }\n");
	rcpts("x@t.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_ptr_null(item->recipients[0].plan.next);
	ck_assert_int_eq(item->recipients[0].plan.demand.bits, 256);
}
END_TEST

/* ---- choosing again -------------------------------------------------------------------------- */

#define TLS_FIRST \
	"first: { want: sender, rules: [\"=tls\"] }\n" \
	"second: { rules: [\"f.example=fake\", \"t.example=tls\"] }\n"

static struct pn_txn *again;

static enum plans_step
choose_again(const uint32_t *indices, size_t count)
{
	struct pn_error err = { 0 };
	enum plans_step step;

	ck_assert_int_eq(replan_begin(world.generation, item, indices, count, NULL,
			     "503 5.7.0 weak", &again, &err),
	    0);
	ck_assert_str_eq(pn_txn_replan_reason(again), "503 5.7.0 weak");
	step = plans_run(again, &refused);
	if (step == PLANS_DONE) {
		struct item *child;

		ck_assert_int_eq(replan_child(again, indices, &child), 0);
		item_free(&item);
		item = child;
	}
	txn_free(&again);
	return step;
}

START_TEST(replans)
{
	static const uint32_t indices[] = { 1, 2, 3 };

	mail("  - selector: { id: first }\n" SECOND "  - provider\n  - sealer\n", TLS_FIRST);
	rcpts("o@o.example two@f.example x@g.example x@t.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_int_eq(choose_again(indices, 3), PLANS_DONE);
	ck_assert_uint_eq(item->envelope.count, 2);
	ck_assert_uint_eq(item->replaced_count, 2);
	ck_assert_uint_eq(item->replaced[0], 1);
	ck_assert_uint_eq(item->replaced[1], 3);
	ck_assert_uint_eq(item->recipients[0].plan.number, 2);
	ck_assert_str_eq(item->recipients[0].plan.method, "fake");
	ck_assert_str_eq(item->recipients[1].plan.method, "tls");
	ck_assert_str_eq(item->recipients[1].plan.next, "");
	ck_assert_uint_eq(count(rendering(0), "Received:"), 1);
	ck_assert_ptr_nonnull(strstr(rendering(0), "X-Seal: 1 fake plan 2"));
	ck_assert_ptr_null(strstr(rendering(0), "secret"));
	ck_assert_uint_eq(count(rendering(0), "X-Postern-Method:"), 1);
	ck_assert_ptr_nonnull(strstr(rendering(0), "X-Postern-Method: fake (protection was"));
	/* sealed again, and not twice */
	ck_assert_uint_eq(count(rendering(1), "X-Postern-Method:"), 1);
	ck_assert_uint_eq(count(rendering(1), "Received:"), 1);
	ck_assert_uint_eq(count(rendering(1), "X-Seal:"), 1);
}
END_TEST

START_TEST(replans_of_nobody)
{
	static const uint32_t index = 0;

	mail("  - selector: { id: first }\n" SECOND "  - provider\n", TLS_FIRST);
	rcpts("x@g.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_int_eq(choose_again(&index, 1), PLANS_REFUSED);
	ck_assert_int_eq(refused.kind, RULING_REJECT);
}
END_TEST

START_TEST(an_entry_that_is_gone)
{
	static const uint32_t index = 0;
	struct pn_error err = { 0 };

	mail("  - selector: { id: first }\n" SECOND "  - provider\n", TLS_FIRST);
	rcpts("x@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	world_run(&world, "  - selector: { id: first }\n  - provider\n", "");
	ck_assert_int_eq(
	    replan_begin(world.generation, item, &index, 1, NULL, "weak", &again, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "\"second\""));
}
END_TEST

START_TEST(reports_are_sealed)
{
	struct pn_txn *txn;

	mail("  - sealer\n", "");
	rcpts("two@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_uint_eq(count(rendering(0), "X-Seal:"), 1);
	txn = seal_begin(world.generation, item);
	ck_assert_ptr_nonnull(txn);
	ck_assert_int_eq(plans_run(txn, &refused), PLANS_DONE);
	item->rendering_count = 0;
	seal_end(txn, item);
	txn_free(&txn);
	ck_assert_uint_eq(count(rendering(0), "X-Seal:"), 2);
	ck_assert_uint_eq(count(rendering(0), "Received:"), 1);
	world_run(&world, "  []\n", "");
	ck_assert_ptr_null(seal_begin(world.generation, item));
}
END_TEST

START_TEST(all_unserved)
{
	mail(SELECTOR, "selector: { want: message, rules: [a.example=reject] }\n");
	rcpts("x@a.example x@b.example");
	ck_assert_int_eq(data("X-Protect: y\r\n" MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.code, 550);
	ck_assert_str_eq(refused.enhanced, "5.7.1");
	mail(SELECTOR, "selector: { want: message, rules: [a.example=reject] }\n");
	rcpts("x@a.example");
	ck_assert_int_eq(data("X-Protect: y\r\n" MESSAGE), PLANS_REFUSED);
	ck_assert_str_eq(refused.enhanced, "5.7.2");
}
END_TEST

START_TEST(a_seal_that_fails)
{
	mail("  - sealer\n", "sealer: { fail: yes }\n");
	rcpts("two@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.code, 451);
}
END_TEST

START_TEST(effects_of_providers)
{
	mail(SELECTOR,
	    WANTED "f.example=fake-each] }\nprovider: { deposit: yes, file: deposits }\n");
	rcpts("a@f.example b@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
	ck_assert_uint_eq(item->effect_count, 2);
	ck_assert_str_eq(item->effects[1].name, "deposit-2");
	ck_assert_uint_eq(world_committed(&world, item), 0);
	ck_assert_ptr_nonnull(strstr(world_file(&world, "deposits"), " 1 deposit-1 a@f.example\n"));
	ck_assert_ptr_nonnull(strstr(world_file(&world, "deposits"), " 1 deposit-2 b@f.example\n"));
}
END_TEST

/* ---- the configuration ----------------------------------------------------------------------- */

START_TEST(two_entries_of_one_provider)
{
	mail(SELECTOR "  - provider: { id: other }\n",
	    WANTED "f.example=fake] }\nother: { how: reject }\n");
	rcpts("two@f.example");
	ck_assert_int_eq(data(MESSAGE), PLANS_DONE);
}
END_TEST

#define LOOP(a) ((int)(sizeof(a) / sizeof(*(a))))

int
main(void)
{
	Suite *suite = suite_create("policy_plans");
	TCase *tcase = tcase_create("plans");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, nobody_wants);
	tcase_add_test(tcase, demands_without_protection);
	tcase_add_loop_test(tcase, who_wants, 0, LOOP(wants));
	tcase_add_test(tcase, refused_early);
	tcase_add_test(tcase, an_early_refusal_leaves_nothing);
	tcase_add_test(tcase, nobody_selects);
	tcase_add_test(tcase, a_method_that_nobody_provides);
	tcase_add_test(tcase, three_groups_and_bcc_alone);
	tcase_add_test(tcase, no_clear_text_in_the_item);
	tcase_add_test(tcase, too_many_renderings);
	tcase_add_loop_test(tcase, providers_that_fail, 0, LOOP(failing));
	tcase_add_test(tcase, selection_goes_on);
	tcase_add_test(tcase, a_provider_refuses_members);
	tcase_add_test(tcase, a_provider_refuses_all_members);
	tcase_add_loop_test(tcase, a_fault_that_leaves_nobody_defers, 0, LOOP(faulted));
	tcase_add_test(tcase, tls_knows_who_is_next);
	tcase_add_test(tcase, a_demand_is_no_plan);
	tcase_add_test(tcase, replans);
	tcase_add_test(tcase, replans_of_nobody);
	tcase_add_test(tcase, an_entry_that_is_gone);
	tcase_add_test(tcase, reports_are_sealed);
	tcase_add_test(tcase, all_unserved);
	tcase_add_test(tcase, a_seal_that_fails);
	tcase_add_test(tcase, effects_of_providers);
	tcase_add_test(tcase, two_entries_of_one_provider);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
