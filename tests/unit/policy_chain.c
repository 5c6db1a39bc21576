/* SPDX-License-Identifier: Apache-2.0 */
/* policy_chain.c - unit tests of core/policy: stages, verdicts, edits, effects, conditions. */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static struct world world;

static void
setup(void)
{
	world_open(&world);
}

static void
teardown(void)
{
	world_close(&world);
}

static struct pn_slice
view(void)
{
	return pn_txn_bytes(world.txn);
}

static bool
view_has(const char *text)
{
	return memmem(view().data, view().len, text, strlen(text)) != NULL;
}

/* ---- the message stage ----------------------------------------------------------------------- */

#define STAMPER         "  - stamper\n"
#define STAMPER_SECTION "stamper: { value: one }\n"
#define FAULTY(how)     STAMPER "  - faulty\n", STAMPER_SECTION "faulty: { how: " how " }\n"
#define DEFERRED        RULING_DEFER, 451

static const struct {
	const char *pipeline, *sections;
	enum ruling_kind kind;
	int code;
	const char *trace, *has;
} messages[] = {
	{ "  []\n", "", RULING_PASS, 0, "", WORLD_MESSAGE },
	{ STAMPER, STAMPER_SECTION, RULING_PASS, 0, "stamper pass stamp 1",
	    "X-Stamp: one\r\n" WORLD_MESSAGE },
	/* the second entry sees what the first has done */
	{ STAMPER "  - stamper: { id: second }\n", STAMPER_SECTION "second: { value: two }\n",
	    RULING_PASS, 0, "stamper pass stamp 1; second pass stamp 2",
	    "X-Stamp: two\r\nX-Stamp: one\r\n" WORLD_MESSAGE },
	{ STAMPER "  - stamper: { id: second }\n",
	    STAMPER_SECTION "second: { value: two, enabled: no }\n", RULING_PASS, 0,
	    "stamper pass stamp 1", "X-Stamp: one\r\n" WORLD_MESSAGE },
	/* a fault's edits fall, what went before stands */
	{ FAULTY("fault"), DEFERRED,
	    "stamper pass stamp 1; faulty fault broken on purpose: Input/output error",
	    "X-Stamp: one\r\n" WORLD_MESSAGE },
	{ FAULTY("nothing"), DEFERRED, "stamper pass stamp 1; faulty fault returned no verdict",
	    NULL },
	{ FAULTY("forged"), DEFERRED,
	    "stamper pass stamp 1; faulty fault returned a verdict of another call", NULL },
	{ FAULTY("older"), DEFERRED,
	    "stamper pass stamp 1; faulty fault returned a verdict of another call", NULL },
	{ FAULTY("code"), DEFERRED,
	    "stamper pass stamp 1; faulty fault refused with the codes 250 5.7.1", NULL },
	{ FAULTY("enhanced"), DEFERRED,
	    "stamper pass stamp 1; faulty fault refused with the codes 451 5.7.1", NULL },
	{ FAULTY("stage"), DEFERRED,
	    "stamper pass stamp 1; faulty fault gave a verdict of another stage: identified",
	    NULL },
	{ FAULTY("splice"), RULING_PASS, 0, "stamper pass stamp 1; faulty pass",
	    "X-Stamp: one\r\n" WORLD_MESSAGE },
	{ FAULTY("pass"), RULING_PASS, 0, "stamper pass stamp 1; faulty pass",
	    "X-Faulty: must not be seen\r\nX-Stamp: one\r\n" WORLD_MESSAGE },
	{ STAMPER "  - faulty: { timeout: 20ms }\n", STAMPER_SECTION "faulty: { how: late }\n",
	    DEFERRED, "stamper pass stamp 1; faulty fault answered after its time was up", NULL },
	/* on_fault speaks */
	{ "  - faulty: { on_fault: skip }\n" STAMPER, STAMPER_SECTION, RULING_PASS, 0,
	    "faulty fault broken on purpose: Input/output error; stamper pass stamp 1",
	    "X-Stamp: one\r\n" WORLD_MESSAGE },
	{ "  - faulty: { on_fault: reject }\n" STAMPER, STAMPER_SECTION, RULING_REJECT, 550,
	    "faulty fault broken on purpose: Input/output error", WORLD_MESSAGE },
	{ "  - sneaky\n", "", RULING_PASS, 0, "sneaky pass was kept out", WORLD_MESSAGE },
	/* conditions */
	{ "  - stamper: { when: { sender_domain: [example.org] } }\n", STAMPER_SECTION, RULING_PASS,
	    0, "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { sender_domain: [example.net] } }\n", STAMPER_SECTION, RULING_PASS,
	    0, "", WORLD_MESSAGE },
	{ "  - stamper: { when: { recipient_domain: [example.com, other.example] } }\n",
	    STAMPER_SECTION, RULING_PASS, 0, "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { recipient_domain: [example.net] } }\n", STAMPER_SECTION,
	    RULING_PASS, 0, "", NULL },
	{ "  - stamper: { when: { recipient: [two@example.org], listener: [submission] } }\n",
	    STAMPER_SECTION, RULING_PASS, 0, "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { larger_than: 50 } }\n", STAMPER_SECTION, RULING_PASS, 0,
	    "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { larger_than: 1m } }\n", STAMPER_SECTION, RULING_PASS, 0, "",
	    NULL },
	{ "  - stamper: { when: { header: [X-None, \"subject: HELLO\"] } }\n", STAMPER_SECTION,
	    RULING_PASS, 0, "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { header: [\"Subject: hell\", \"X: a\"] } }\n", STAMPER_SECTION,
	    RULING_PASS, 0, "", NULL },
	{ "  - stamper: { when: { header: from } }\n", STAMPER_SECTION, RULING_PASS, 0,
	    "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { network: [192.0.2.0/24] } }\n", STAMPER_SECTION, RULING_PASS, 0,
	    "stamper pass stamp 1", NULL },
	{ "  - stamper: { when: { user: [one@example.org] } }\n", STAMPER_SECTION, RULING_PASS, 0,
	    "", NULL },
	{ "  - stamper: { when: { tag: [picked] } }\n", STAMPER_SECTION, RULING_PASS, 0, "", NULL },
};

static void
add_recipient(const char *address)
{
	mail_envelope_add(&world.txn->envelope, &world.txn->arena, address);
}

START_TEST(message_stage)
{
	world_run(&world, messages[_i].pipeline, messages[_i].sections);
	world_begin(&world);
	add_recipient("two@example.org");
	add_recipient("one@example.org");
	add_recipient("three@EXAMPLE.com");
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), messages[_i].kind);
	ck_assert_int_eq(world.ruling.code, messages[_i].code);
	ck_assert_str_eq(chain_trace_text(world.txn), messages[_i].trace);
	if (messages[_i].has)
		ck_assert(pn_slice_equals(view(), pn_slice_of(messages[_i].has)));
	if (messages[_i].kind != RULING_PASS) {
		ck_assert(!view_has("X-Faulty"));
		ck_assert_str_eq(world.ruling.entry, "faulty");
	}
	ck_assert(pn_slice_equals(pn_txn_original_bytes(world.txn), pn_slice_of(WORLD_MESSAGE)));
}
END_TEST

/* The words that clients hear when nobody could decide. */
START_TEST(faults_have_their_reply)
{
	world_run(&world, "  - faulty\n", "");
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	world_stage(&world, PN_STAGE_MESSAGE);
	ck_assert_str_eq(world.ruling.enhanced, "4.7.1");
	ck_assert_str_eq(world.ruling.text, "Temporary failure, try again later");
}
END_TEST

/* The whole chain has one deadline, whatever each entry may take. */
START_TEST(the_chain_has_a_deadline)
{
	world_run(&world, STAMPER, STAMPER_SECTION);
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	world.txn->hook_ms = 60000;
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_DEFER);
	ck_assert_str_eq(chain_trace_text(world.txn), "stamper fault no time is left for it");
}
END_TEST

/* ---- threads --------------------------------------------------------------------------------- */

START_TEST(hops_only_where_they_are_wanted)
{
	world_run(&world, STAMPER "  - slow\n  - stamper: { id: second }\n",
	    STAMPER_SECTION "second: { value: two }\n");
	world_begin(&world);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_HELO), RULING_PASS);
	ck_assert_uint_eq(world.hops, 0);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_SENDER), RULING_PASS);
	ck_assert_uint_eq(world.hops, 1);
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_uint_eq(world.hops, 1);
	ck_assert_str_eq(chain_trace_text(world.txn),
	    "slow pass; slow pass on second thoughts; stamper pass stamp 1; slow pass blocked; "
	    "second pass stamp 2");
}
END_TEST

START_TEST(a_second_not_quick_is_a_fault)
{
	world_run(&world, "  - slow\n", "");
	world_begin(&world);
	world.txn->facts.helo = "never.example";
	ck_assert_int_eq(world_stage(&world, PN_STAGE_HELO), RULING_DEFER);
	ck_assert_uint_eq(world.hops, 1);
	ck_assert_str_eq(chain_trace_text(world.txn), "slow fault asked twice for a thread");
}
END_TEST

/* ---- recipients ------------------------------------------------------------------------------ */

START_TEST(recipients_are_refused_one_by_one)
{
	world_run(&world, "  - picky\n", "picky: { refuse: bad@example.org }\n");
	world_begin(&world);
	ck_assert_int_eq(world_recipient(&world, "good@example.org"), RULING_PASS);
	ck_assert_int_eq(world_recipient(&world, "bad@example.org"), RULING_REJECT);
	ck_assert_int_eq(world.ruling.code, 550);
	ck_assert_str_eq(world.ruling.enhanced, "5.1.1");
	/* one line, whatever the module wrote */
	ck_assert_str_eq(world.ruling.text, "Not to this one??250 Ok ? ?");
	ck_assert_int_eq(world_recipient(&world, "fine@example.org"), RULING_PASS);
	ck_assert_uint_eq(world.txn->envelope.count, 2);
	ck_assert_str_eq(chain_trace_text(world.txn),
	    "picky reject bad@example.org 550 5.1.1 Not to this one??250 Ok ? ?");
}
END_TEST

START_TEST(replies_are_utf8_where_that_was_asked_for)
{
	world_run(&world, "  - picky\n", "picky: { refuse: bad@example.org }\n");
	world_begin(&world);
	world.txn->facts.smtputf8 = true;
	ck_assert_int_eq(world_recipient(&world, "bad@example.org"), RULING_REJECT);
	ck_assert_str_eq(world.ruling.text, "Not to this one??250 Ok \xc3\xa4 ?");
}
END_TEST

#define PICKY_TWO "  - picky\n  - picky: { id: second }\n"

/* What the first entry did for a recipient falls when the second refuses it. */
START_TEST(a_refused_recipient_leaves_nothing)
{
	world_run(&world, PICKY_TWO,
	    "picky: { count: yes, copy_to: copy@example.org }\n"
	    "second: { refuse: bad@example.org }\n");
	world_begin(&world);
	ck_assert_int_eq(world_recipient(&world, "bad@example.org"), RULING_REJECT);
	ck_assert_uint_eq(world.txn->envelope.count, 0);
	ck_assert_uint_eq(world.txn->effect_count, 0);
	ck_assert_uint_eq(world.txn->tag_count, 0);
	/* and what it did for the one before stays as it was */
	world_run(
	    &world, PICKY_TWO, "picky: { count: yes }\nsecond: { refuse: bad@example.org }\n");
	world_begin(&world);
	ck_assert_int_eq(world_recipient(&world, "good@example.org"), RULING_PASS);
	ck_assert_uint_eq(world.txn->effect_count, 1);
	ck_assert(pn_slice_equals(world.txn->effects[0].bytes, pn_slice_of("1")));
	ck_assert_uint_eq(world.txn->effect_bytes, 1);
	ck_assert_int_eq(world_recipient(&world, "bad@example.org"), RULING_REJECT);
	ck_assert(pn_slice_equals(world.txn->effects[0].bytes, pn_slice_of("1")));
	ck_assert(pn_txn_has_tag(world.txn, "picked"));
}
END_TEST

START_TEST(recipients_are_rewritten_and_added)
{
	world_run(&world, "  - picky\n",
	    "picky: { copy_to: copy@example.org, redirect_to: other@example.org }\n");
	world_begin(&world);
	ck_assert_int_eq(world_recipient(&world, "one@example.org"), RULING_PASS);
	ck_assert_str_eq(pn_txn_recipient_at(world.txn, 0), "other@example.org");
	ck_assert_str_eq(world.txn->envelope.recipients[0].original, "one@example.org");
	ck_assert_str_eq(pn_txn_recipient_at(world.txn, 1), "copy@example.org");
	/* the copy is there already: -EEXIST, which this module cannot live with */
	ck_assert_int_eq(world_recipient(&world, "two@example.org"), RULING_DEFER);
	ck_assert_uint_eq(world.txn->envelope.count, 2);
}
END_TEST

START_TEST(added_recipients_count_against_the_limit)
{
	world_run(&world, "  - picky\n", "picky: { copy_to: copy@example.org }\n");
	world_begin(&world);
	world.txn->recipient_limit = 1;
	ck_assert_int_eq(world_recipient(&world, "one@example.org"), RULING_DEFER);
	ck_assert_ptr_nonnull(
	    strstr(chain_trace_text(world.txn), "cannot change: Argument list too long"));
}
END_TEST

START_TEST(conditions_on_recipients_choose_hooks)
{
	world_run(&world,
	    "  - picky: { when: { recipient_domain: [example.com] } }\n"
	    "  - stamper: { when: { tag: [picked] } }\n",
	    STAMPER_SECTION "picky: { refuse: bad@example.org }\n");
	world_begin(&world);
	ck_assert_int_eq(world_recipient(&world, "bad@example.org"), RULING_PASS);
	ck_assert_uint_eq(world.txn->trace_count, 0);
	ck_assert_int_eq(world_recipient(&world, "x@example.com"), RULING_PASS);
	ck_assert_uint_eq(world.txn->trace_count, 1);
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert(view_has("X-Stamp: one"));
}
END_TEST

/* ---- effects --------------------------------------------------------------------------------- */

#define LEDGER          "  - stamper\n  - ledger\n  - ledger: { id: second }\n"
#define LEDGER_SECTIONS STAMPER_SECTION "ledger: { file: pages }\nsecond: { file: others }\n"

static struct item *
accept_message(const char *pipeline, const char *sections)
{
	world_run(&world, pipeline, sections);
	world_begin(&world);
	add_recipient("two@example.org");
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	return txn_to_item(world.txn);
}

START_TEST(effects_become_visible_when_committed)
{
	struct item *item = accept_message(LEDGER, LEDGER_SECTIONS);

	ck_assert_uint_eq(item->effect_count, 2);
	txn_reset(world.txn, world.generation);
	ck_assert_uint_eq(world_committed(&world, item), 0);
	ck_assert_str_eq(world_file(&world, "pages"),
	    "start ledger (nothing)\ncommitted ledger one@example.org\n");
	ck_assert_str_eq(world_file(&world, "others"),
	    "start second (nothing)\ncommitted second one@example.org\n");
	/* after a crash the bytes may be on disk only */
	mail_bytes_release(&item->bytes);
	ck_assert_uint_eq(world_committed(&world, item), 0);
	item_free(&item);
}
END_TEST

START_TEST(every_committed_hook_runs)
{
	struct item *item = accept_message(LEDGER,
	    STAMPER_SECTION "ledger: { file: pages, fail: yes }\nsecond: { file: others }\n");

	ck_assert_uint_eq(world_committed(&world, item), 1);
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\n");
	ck_assert_ptr_nonnull(strstr(world_file(&world, "others"), "committed second"));
	item_free(&item);
}
END_TEST

/* Whatever its condition says by then (no recipients are left), whether it staged something or not.
 */
START_TEST(who_may_have_begun_hears_of_the_end)
{
	world_run(&world, "  - stamper\n  - ledger: { when: { recipient: [two@example.org] } }\n",
	    STAMPER_SECTION "ledger: { file: pages }\n");
	world_begin(&world);
	add_recipient("two@example.org");
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	mail_envelope_remove(&world.txn->envelope, 0);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_ABORTED), RULING_PASS);
	ck_assert_str_eq(world_file(&world, "pages"),
	    "start ledger (nothing)\naborted ledger one@example.org\n");
	world_begin(&world);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_ABORTED), RULING_PASS);
	ck_assert_str_eq(world_file(&world, "pages"),
	    "start ledger (nothing)\naborted ledger one@example.org\n"
	    "aborted ledger (nothing)\n");
}
END_TEST

/* Hooks run from several threads at once, and the last to let go of a generation frees it. */
static void *
run_often(void *arg)
{
	struct generation *generation = arg;
	const struct mail_facts facts = { .client_address = "192.0.2.7" };

	for (int i = 0; i < 100; i++) {
		struct pn_txn *txn = txn_new(generation, &facts);
		struct chain_run run = { 0 };
		struct mail_bytes *bytes;
		struct ruling ruling;

		txn_begin(txn);
		txn->envelope.sender = "";
		ck_assert_int_eq(mail_bytes_new(100, &bytes), 0);
		ck_assert_int_eq(mail_bytes_append(bytes, WORLD_MESSAGE, 20, 100), 0);
		ck_assert_int_eq(txn_set_message(txn, bytes, 100), 0);
		ck_assert_int_eq(chain_run(&run, txn, PN_STAGE_MESSAGE, true, &ruling), CHAIN_DONE);
		ck_assert_int_eq(ruling.kind, RULING_PASS);
		txn_free(&txn);
	}
	generation_release(&generation);
	return NULL;
}

START_TEST(many_threads)
{
	pthread_t threads[4];

	world_run(&world, LEDGER, LEDGER_SECTIONS);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, run_often, generation_hold(world.generation)),
		    0);
	world_run(&world, LEDGER, LEDGER_SECTIONS);
	world_run(&world, STAMPER, STAMPER_SECTION);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\nstop\n");
}
END_TEST

/* ---- items ----------------------------------------------------------------------------------- */

static const struct {
	const char *message, *recipient;
	bool smtputf8, needs_utf8, has_eightbit;
} eightbit[] = {
	{ WORLD_MESSAGE, "a@example.org", false, false, false },
	{ WORLD_MESSAGE, "a@example.org", true, false, false },
	/* Addresses are looked at with each letter. */
	{ WORLD_MESSAGE, "\xc3\xa4@example.org", true, false, false },
	{ "Subject: \xc3\xa4\r\n\r\nx\r\n", "a@example.org", true, true, true },
	{ "Subject: \xe4\r\n\r\nx\r\n", "a@example.org", false, false, true },
	{ "Subject: a\r\n\r\n0123456789012345678901234567890123456789\xc3\xa4\r\n", "a@example.org",
	    true, false, true },
	{ "Subject: a\r\n\r\n\xc3\xa4"
	  "0123456789012345678901234567890123456789\r\n",
	    "a@example.org", false, false, true },
	{ "\r\n", "a@example.org", false, false, false },
	{ "", "a@example.org", false, false, false },
};

START_TEST(items_know_what_the_next_hop_must_be_able_to)
{
	struct item *item;

	world_run(&world, "  []\n", "");
	world_begin(&world);
	world.txn->facts.smtputf8 = eightbit[_i].smtputf8;
	add_recipient(eightbit[_i].recipient);
	world_message(&world, eightbit[_i].message);
	item = txn_to_item(world.txn);
	txn_free(&world.txn);
	ck_assert_int_eq(item->needs_utf8, eightbit[_i].needs_utf8);
	ck_assert_int_eq(item->has_eightbit, eightbit[_i].has_eightbit);
	ck_assert_uint_eq(item->size, strlen(eightbit[_i].message));
	ck_assert_str_eq(item->envelope.recipients[0].address, eightbit[_i].recipient);
	ck_assert_str_eq(item->facts.client_address, "192.0.2.7");
	ck_assert_ptr_eq(item->recipients[0].envelope, &item->envelope.recipients[0]);
	item_free(&item);
}
END_TEST

/* ---- AUTH ------------------------------------------------------------------------------------ */

static enum ruling_kind
say(const char *response)
{
	world.txn->mechanism = "X-TALK";
	world.txn->response = pn_slice_of(response);
	return world_stage(&world, PN_STAGE_AUTH);
}

START_TEST(an_exchange_stays_with_its_entry)
{
	world_run(&world, "  - talker\n  - talker: { id: second }\n",
	    "talker: { word: ada }\nsecond: { word: bo }\n");
	world_begin(&world);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_HELO), RULING_PASS);
	ck_assert_str_eq(buf_text(&world.txn->offers), "X-TALK");
	ck_assert_int_eq(say("bo"), RULING_CHALLENGE);
	ck_assert(pn_slice_equals(world.ruling.challenge, pn_slice_of("sure?")));
	ck_assert_int_eq(say("yes"), RULING_IDENTIFIED);
	ck_assert_str_eq(world.ruling.text, "bo");
	ck_assert_ptr_null(world.txn->kept);
	/* the first says no in its second round: the next entry finds nothing kept */
	ck_assert_int_eq(say("ada"), RULING_CHALLENGE);
	ck_assert_int_eq(say("bo"), RULING_CHALLENGE);
	ck_assert_int_eq(say("yes"), RULING_IDENTIFIED);
	ck_assert_str_eq(world.ruling.text, "bo");
	/* given up in the middle */
	ck_assert_int_eq(say("ada"), RULING_CHALLENGE);
	txn_auth_end(world.txn);
	ck_assert_int_eq(say("nobody"), RULING_PASS);
}
END_TEST

/* ---- the rest -------------------------------------------------------------------------------- */

START_TEST(a_reset_forgets_the_transaction)
{
	char id[ITEM_ID_SIZE];

	world_run(&world, STAMPER "  - talker\n", STAMPER_SECTION "talker: { word: x }\n");
	world_begin(&world);
	memcpy(id, world.txn->id, sizeof(id));
	world_stage(&world, PN_STAGE_HELO);
	add_recipient("two@example.org");
	world_message(&world, WORLD_MESSAGE);
	world_stage(&world, PN_STAGE_MESSAGE);
	world.txn->facts.smtputf8 = true;
	txn_reset(world.txn, world.generation);
	ck_assert_str_eq(pn_txn_id(world.txn), "");
	ck_assert_uint_eq(pn_txn_recipient_count(world.txn), 0);
	ck_assert_uint_eq(pn_txn_size(world.txn), 0);
	ck_assert_uint_eq(world.txn->trace_count, 0);
	ck_assert(!world.txn->facts.smtputf8);
	ck_assert_str_eq(pn_txn_helo(world.txn), "client.example");
	ck_assert_str_eq(buf_text(&world.txn->offers), "X-TALK");
	txn_begin(world.txn);
	ck_assert_str_ne(pn_txn_id(world.txn), id);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

START_TEST(junk_in_a_header_does_not_end_it)
{
	struct pn_header header;

	world_run(&world, "  []\n", "");
	world_begin(&world);
	world_message(&world, "A: 1\r\nthis is no field\r\nB: 2\r\n\r\nbody\r\n");
	ck_assert_uint_eq(pn_header_count(world.txn), 3);
	ck_assert(pn_header_at(world.txn, 1, &header));
	ck_assert_uint_eq(header.name.len, 0);
	ck_assert(pn_slice_equals(header.value, pn_slice_of("this is no field")));
	ck_assert(pn_header_find(world.txn, "b", 0, &header));
	ck_assert(pn_slice_equals(header.value, pn_slice_of(" 2")));
	ck_assert(!pn_header_at(world.txn, 3, &header));
	ck_assert(!pn_header_find(world.txn, "b", 1, &header));
	ck_assert(pn_slice_equals(pn_txn_body(world.txn), pn_slice_of("body\r\n")));
}
END_TEST

START_TEST(too_many_fields)
{
	struct mail_bytes *bytes;

	world_run(&world, "  []\n", "");
	world_begin(&world);
	ck_assert_int_eq(mail_bytes_new(20, &bytes), 0);
	ck_assert_int_eq(mail_bytes_append(bytes, "A: 1\r\nB: 2\r\n\r\n", 14, 100), 0);
	ck_assert_int_eq(txn_set_message(world.txn, bytes, 1), -E2BIG);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policy_chain");
	TCase *tests = tcase_create("chain");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, message_stage, 0, sizeof(messages) / sizeof(messages[0]));
	tcase_add_test(tests, faults_have_their_reply);
	tcase_add_test(tests, the_chain_has_a_deadline);
	tcase_add_test(tests, hops_only_where_they_are_wanted);
	tcase_add_test(tests, a_second_not_quick_is_a_fault);
	tcase_add_test(tests, recipients_are_refused_one_by_one);
	tcase_add_test(tests, replies_are_utf8_where_that_was_asked_for);
	tcase_add_test(tests, a_refused_recipient_leaves_nothing);
	tcase_add_test(tests, recipients_are_rewritten_and_added);
	tcase_add_test(tests, added_recipients_count_against_the_limit);
	tcase_add_test(tests, conditions_on_recipients_choose_hooks);
	tcase_add_test(tests, effects_become_visible_when_committed);
	tcase_add_test(tests, every_committed_hook_runs);
	tcase_add_test(tests, who_may_have_begun_hears_of_the_end);
	tcase_add_test(tests, many_threads);
	tcase_add_loop_test(tests, items_know_what_the_next_hop_must_be_able_to, 0,
	    sizeof(eightbit) / sizeof(eightbit[0]));
	tcase_add_test(tests, an_exchange_stays_with_its_entry);
	tcase_add_test(tests, a_reset_forgets_the_transaction);
	tcase_add_test(tests, junk_in_a_header_does_not_end_it);
	tcase_add_test(tests, too_many_fields);
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
