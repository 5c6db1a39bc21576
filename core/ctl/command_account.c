/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_account.c - posternctl account, domain, network.
 *
 * What is changed is checked against the files and the database together, and only the database is
 * changed, through directory.h.
 */
#include <core/ctl/directory.h>
#include <core/net/address.h>
#include <core/store/audit.h>
#include <core/store/records.h>
#include <errno.h>
#include <stdlib.h>

#define NAME_SIZE        CTL_ACCOUNT_VALUE
#define LICENCES_MOST    100000000
#define DESCRIPTION_MOST 200
#define WIDE_NETWORK     256 /* addresses, as directory_check.c has it */

/* ---- accounts -------------------------------------------------------------------------------- */

struct account_row {
	const char *wanted;
	bool has[RECORD_COLUMNS];
	char texts[RECORD_COLUMNS][NAME_SIZE];
};

static int
keep_account(void *arg, const char *const columns[RECORD_COLUMNS])
{
	struct account_row *row = arg;

	for (int i = 1; i < RECORD_COLUMNS && strcmp(columns[0], row->wanted) == 0; i++) {
		row->has[i] = columns[i] != NULL;
		snprintf(row->texts[i], NAME_SIZE, "%s", columns[i] ? columns[i] : "");
	}
	return 0;
}

bool
ctl_account_value(const char *key, const char *value, char ret[NAME_SIZE], struct pn_error *err)
{
	char *end = NULL;
	long long licences;

	*ret = '\0';
	if (!*value)
		return true;
	if (strcmp(key, "plan") == 0) {
		snprintf(ret, NAME_SIZE, "%s", value);
		return ctl_is_new_name(value, err);
	}
	if (strcmp(key, "paid") == 0) {
		snprintf(ret, NAME_SIZE, "%d", *value == 'y');
		if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0)
			return true;
		pn_error_set(err, -EINVAL, "\"%.40s\" is neither yes nor no", value);
		return false;
	}
	errno = 0;
	licences = strtoll(value, &end, 10);
	snprintf(ret, NAME_SIZE, "%lld", licences);
	if (errno == 0 && !*end && licences >= 0 && licences <= LICENCES_MOST)
		return true;
	pn_error_set(err, -EINVAL, "\"%.40s\" is not a number of licences; 0: none stated", value);
	return false;
}

static int
set_account(struct ctl *ctl, const char *action, const char *name, const char *key,
    const char *value, struct pn_error *err)
{
	static const char *const keys[] = { "name", "licences", "paid", "plan" };
	struct account_row row = { .wanted = name };
	char scope[NAME_SIZE + 16];
	struct ctl_change change = { .action = action,
		.scope = scope,
		.kind = RECORD_ACCOUNT,
		.keys = 1,
		.columns = { name } };
	int at = 1;

	snprintf(scope, sizeof(scope), "account %s", name);
	while (key && at < RECORD_COLUMNS && strcmp(keys[at], key) != 0)
		at++;
	if (at == RECORD_COLUMNS) {
		pn_error_set(err, -EINVAL, "\"%.40s\" is none of licences, paid and plan", key);
		return EXIT_USAGE;
	}
	if (records_each(ctl->db, RECORD_ACCOUNT, keep_account, &row, err) < 0 ||
	    (key && !ctl_account_value(key, value, row.texts[at], err)))
		return EXIT_REFUSED;
	if (key)
		row.has[at] = *row.texts[at] != '\0';
	for (int i = 1; i < RECORD_COLUMNS; i++)
		change.columns[i] = row.has[i] ? row.texts[i] : NULL;
	return ctl_directory_change(ctl, &change, err);
}

static int
run_account_add(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	if (!ctl_is_new_name(argv[0], err))
		return EXIT_REFUSED;
	if (roster_account(generation_roster(ctl->generation), argv[0])) {
		pn_error_set(err, -EEXIST, "account %s is there already", argv[0]);
		return EXIT_REFUSED;
	}
	return set_account(ctl, "account add", argv[0], argc > 1 ? "licences" : NULL,
	    argc > 1 ? argv[1] : NULL, err);
}

static int
run_account_set(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	if (!roster_account(generation_roster(ctl->generation), argv[0]))
		return ctl_absent(err, "account", argv[0]);
	return set_account(ctl, "account set", argv[0], argv[1], argv[2], err);
}

static void
show_account(struct ctl *ctl, const struct pn_account *account)
{
	json_t *domains = json_array();

	for (size_t i = 0; i < account->domain_count; i++)
		json_array_append_new(domains, json_string(account->domains[i]));
	console_add(&ctl->console,
	    json_pack("{s:s, s:I, s:I, s:b, s:s?, s:o}", "account", account->name, "licences",
		(json_int_t)account->licences, "users",
		(json_int_t)roster_count_users(generation_roster(ctl->generation), account), "paid",
		account->paid, "plan", account->plan, "domains", domains));
}

static int
run_account_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct pn_account *account;
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	for (size_t i = 0; (account = roster_account_at(generation_roster(ctl->generation), i));
	     i++)
		if (argc == 0 || strcmp(argv[0], account->name) == 0)
			show_account(ctl, account);
	if (argc > 0 && !roster_account(generation_roster(ctl->generation), argv[0]))
		return ctl_absent(err, "account", argv[0]);
	return EXIT_OK;
}

static int
run_account_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	return code == EXIT_OK ? ctl_directory_remove(
				     ctl, "account remove", RECORD_ACCOUNT, "account", argv[0], err)
			       : code;
}

/* ---- domains --------------------------------------------------------------------------------- */

/* Opens and reads a domain. */
static int
open_domain(
    struct ctl *ctl, const char *domain, char ret[MAIL_DOMAIN_MOST + 1], struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK || mail_domain_canonical(domain, ret) == 0)
		return code;
	pn_error_set(
	    err, -EINVAL, "\"%.300s\" is not a domain; write for example example.com", domain);
	return EXIT_REFUSED;
}

static int
run_domain_add(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char domain[MAIL_DOMAIN_MOST + 1], scope[MAIL_DOMAIN_MOST + 16];
	struct ctl_change change = { .action = "domain add",
		.scope = scope,
		.kind = RECORD_DOMAIN,
		.keys = 1,
		.columns = { domain, argv[1] } };
	const struct pn_account *owner;
	int code = open_domain(ctl, argv[0], domain, err);

	if (code != EXIT_OK)
		return code;
	snprintf(scope, sizeof(scope), "domain %s", domain);
	if (!roster_account(generation_roster(ctl->generation), argv[1]))
		return ctl_absent(err, "account", argv[1]);
	owner = roster_domain_account(generation_roster(ctl->generation), domain);
	for (size_t i = 0; owner && i < owner->domain_count; i++) {
		if (strcmp(owner->domains[i], domain) != 0)
			continue;
		pn_error_set(
		    err, -EEXIST, "%s is a domain of the account %s already", domain, owner->name);
		return EXIT_REFUSED;
	}
	return ctl_directory_change(ctl, &change, err);
}

static int
run_domain_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct pn_account *account;
	int code = ctl_open_db(ctl, err);

	for (size_t i = 0; code == EXIT_OK &&
			   (account = roster_account_at(generation_roster(ctl->generation), i));
	     i++)
		for (size_t k = 0; k < account->domain_count; k++)
			console_add(
			    &ctl->console, json_pack("{s:s, s:s}", "domain", account->domains[k],
					       "account", account->name));
	return code;
}

static int
run_domain_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char domain[MAIL_DOMAIN_MOST + 1];
	int code = open_domain(ctl, argv[0], domain, err);

	return code == EXIT_OK ? ctl_directory_remove(
				     ctl, "domain remove", RECORD_DOMAIN, "domain", domain, err)
			       : code;
}

/* ---- networks -------------------------------------------------------------------------------- */

struct network_row {
	struct network network;
	char range[ADDRESS_TEXT + 8], scope[ADDRESS_TEXT + 24];
	char account[80], description[DESCRIPTION_MOST + 1];
	bool found, enabled;
};

/* One spelling for all: the row's key. */
static int
open_network(struct ctl *ctl, const char *range, struct network_row *ret, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	*ret = (struct network_row){ 0 };
	if (code != EXIT_OK)
		return code;
	if (network_parse(range, &ret->network, err) < 0)
		return EXIT_REFUSED;
	network_format(&ret->network, ret->range);
	snprintf(ret->scope, sizeof(ret->scope), "network %s", ret->range);
	return EXIT_OK;
}

static int
keep_network(void *arg, const char *const columns[RECORD_COLUMNS])
{
	struct network_row *row = arg;

	if (strcmp(columns[0], row->range) != 0)
		return 0;
	row->found = true;
	snprintf(row->account, sizeof(row->account), "%s", columns[1]);
	snprintf(row->description, sizeof(row->description), "%s", columns[2] ? columns[2] : "");
	row->enabled = *columns[3] == '1';
	return 0;
}

static int
put_network(
    struct ctl *ctl, const char *action, const struct network_row *row, struct pn_error *err)
{
	struct ctl_change change = { .action = action,
		.scope = row->scope,
		.kind = RECORD_NETWORK,
		.keys = 1,
		.columns = {
		    row->range, row->account, row->description, row->enabled ? "1" : "0" } };

	return ctl_directory_change(ctl, &change, err);
}

/* What the files say of the same network. */
static const char *
owner_in_files(const struct ctl *ctl, const struct network *network)
{
	const struct pn_map *accounts = &generation_core(ctl->generation)->directory.accounts;
	const struct config_account *values = accounts->values;
	struct network other;

	for (size_t i = 0; i < accounts->count; i++) {
		const struct config_network *networks = values[i].networks.items;

		for (size_t k = 0; k < values[i].networks.count; k++)
			if (network_parse(networks[k].range, &other, NULL) == 0 &&
			    other.bits == network->bits &&
			    memcmp(other.bytes, network->bytes, sizeof(other.bytes)) == 0)
				return accounts->keys[i];
	}
	return NULL;
}

static int
check_network(const struct ctl *ctl, const struct network_row *row, struct pn_error *err)
{
	int64_t most = generation_core(ctl->generation)->directory.largest_network;
	int64_t size = config_network_size(&row->network);
	const char *owner = row->found ? row->account : owner_in_files(ctl, &row->network);

	if (owner)
		return pn_error_set(
		    err, -EEXIST, "%s is a network of the account %s already", row->range, owner);
	if (size > most)
		return pn_error_set(err, -E2BIG,
		    "%s holds more addresses than directory.largest_network allows, %lld; name "
		    "the hosts that send",
		    row->range, (long long)most);
	if (size > WIDE_NETWORK)
		fprintf(stderr,
		    "posternctl: %s holds %lld addresses, and each of them may send; name only "
		    "the hosts that do\n",
		    row->range, (long long)size);
	return 0;
}

static int
run_network_add(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct network_row row;
	int code = open_network(ctl, argv[0], &row, err);

	if (code != EXIT_OK)
		return code;
	if (!roster_account(generation_roster(ctl->generation), argv[1]))
		return ctl_absent(err, "account", argv[1]);
	if (argc > 2 && strlen(argv[2]) > DESCRIPTION_MOST) {
		pn_error_set(err, -E2BIG, "a description has at most %d bytes", DESCRIPTION_MOST);
		return EXIT_REFUSED;
	}
	if (records_each(ctl->db, RECORD_NETWORK, keep_network, &row, err) < 0 ||
	    check_network(ctl, &row, err) < 0)
		return EXIT_REFUSED;
	snprintf(row.account, sizeof(row.account), "%s", argv[1]);
	snprintf(row.description, sizeof(row.description), "%s", argc > 2 ? argv[2] : "");
	row.enabled = true;
	return put_network(ctl, "network add", &row, err);
}

static int
switch_network(
    struct ctl *ctl, const char *action, const char *range, bool enabled, struct pn_error *err)
{
	struct network_row row;
	int code = open_network(ctl, range, &row, err);

	if (code != EXIT_OK)
		return code;
	if (records_each(ctl->db, RECORD_NETWORK, keep_network, &row, err) < 0)
		return EXIT_REFUSED;
	if (!row.found)
		return ctl_absent(err, "network in the database", range);
	row.enabled = enabled;
	return put_network(ctl, action, &row, err);
}

static int
run_network_enable(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return switch_network(ctl, "network enable", argv[0], true, err);
}

static int
run_network_disable(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return switch_network(ctl, "network disable", argv[0], false, err);
}

static int
run_network_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct network_row row;
	int code = open_network(ctl, argv[0], &row, err);

	return code == EXIT_OK ? ctl_directory_remove(ctl, "network remove", RECORD_NETWORK,
				     "network", row.range, err)
			       : code;
}

static void
add_network(struct ctl *ctl, const char *range, const char *account, const char *description,
    bool enabled, const char *from)
{
	console_add(&ctl->console,
	    json_pack("{s:s, s:s, s:s?, s:b, s:s}", "network", range, "account", account,
		"description", description, "enabled", enabled, "from", from));
}

static int
list_network(void *arg, const char *const columns[RECORD_COLUMNS])
{
	add_network(arg, columns[0], columns[1], columns[2], *columns[3] == '1', "database");
	return 0;
}

static int
run_network_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct config_account *values;
	const struct pn_map *accounts;
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	accounts = &generation_core(ctl->generation)->directory.accounts;
	values = accounts->values;
	for (size_t i = 0; i < accounts->count; i++) {
		const struct config_network *networks = values[i].networks.items;

		for (size_t k = 0; k < values[i].networks.count; k++)
			add_network(ctl, networks[k].range, accounts->keys[i],
			    networks[k].description, networks[k].enabled, "files");
	}
	return records_each(ctl->db, RECORD_NETWORK, list_network, ctl, err) < 0 ? EXIT_REFUSED
										 : EXIT_OK;
}

const struct ctl_command ctl_account_commands[] = {
	{ "account add", "NAME [LICENCES]", "Add an account.", 1, 2, run_account_add },
	{ "account set", "NAME licences|paid|plan VALUE",
	    "Change an account; what the database has lies over the files.", 3, 3,
	    run_account_set },
	{ "account list", "", "Show all accounts, those of the files too.", 0, 0,
	    run_account_list },
	{ "account show", "NAME", "Show an account with its users counted.", 1, 1,
	    run_account_list },
	{ "account remove", "NAME",
	    "Remove what the database has of an account, its domains and networks too.", 1, 1,
	    run_account_remove },
	{ "domain add", "DOMAIN ACCOUNT", "Give a domain, with all below it, to an account.", 2, 2,
	    run_domain_add },
	{ "domain list", "", "Show all domains with their accounts.", 0, 0, run_domain_list },
	{ "domain remove", "DOMAIN", "Take a domain away from its account.", 1, 1,
	    run_domain_remove },
	{ "network add", "RANGE ACCOUNT [DESCRIPTION]",
	    "Let an address or a network send for an account without logging in.", 2, 3,
	    run_network_add },
	{ "network list", "", "Show the networks of all accounts.", 0, 0, run_network_list },
	{ "network enable", "RANGE", "Switch a network on again.", 1, 1, run_network_enable },
	{ "network disable", "RANGE", "Switch a network off, keeping its row.", 1, 1,
	    run_network_disable },
	{ "network remove", "RANGE", "Remove a network.", 1, 1, run_network_remove },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
