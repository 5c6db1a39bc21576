/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_exchange.c - posternctl account|domain|user|group|address export and import.
 *
 * What the database has, as comma-separated values; files and directory server are where they are.
 * An import adds and changes, and takes nothing away that the file does not name. Must never make
 * half of it true.
 */
#include <core/ctl/exchange.h>
#include <core/store/audit.h>
#include <core/store/directory.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MOST (64u * 1024 * 1024)

struct table {
	const char *word;
	const char *columns[EXCHANGE_COLUMNS + 1];
	int needed; /* so many of them must be there */
	void (*take)(struct exchange *exchange);
	int (*give)(struct exchange *exchange, struct buf *ret, struct pn_error *err);
};

/* ---- export ---------------------------------------------------------------------------------- */

static int
add_cells(struct buf *to, const char *const *cells, int count)
{
	int r = 0;

	for (int i = 0; r == 0 && i < count; i++)
		r = csv_add(to, cells[i], i == 0);
	return r < 0 ? r : csv_end_row(to);
}

struct giving {
	struct exchange *exchange;
	struct buf *to;
};

/* "1" and "0" as people write them. */
static const char *
yes_no(const char *flag)
{
	return !flag ? NULL : *flag == '1' ? "yes" : "no";
}

static int
give_account(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const char *const cells[] = { columns[0], columns[1], yes_no(columns[2]), columns[3] };

	return add_cells(((struct giving *)arg)->to, cells, 4);
}

static int
give_domain(void *arg, const char *const columns[RECORD_COLUMNS])
{
	return add_cells(((struct giving *)arg)->to, columns, 2);
}

static const char *
field_of(const struct exchange *exchange, const char *user, const char *field)
{
	const char *const key[RECORD_COLUMNS] = { user, field };
	const char *const *row = exchange_find(exchange, RECORD_FIELD, 2, key);

	return row ? row[2] : NULL;
}

static int
give_user(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct giving *to = arg;
	const char *const *registered = exchange_find(to->exchange, RECORD_REGISTERED, 1, columns);
	const char *const cells[] = { columns[0], yes_no(columns[1]),
		registered ? registered[1] : NULL, field_of(to->exchange, columns[0], "name"),
		field_of(to->exchange, columns[0], "title"),
		field_of(to->exchange, columns[0], "phone") };

	return *columns[2] == '1' ? add_cells(to->to, cells, 6) : 0;
}

static int
give_group(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const char *const cells[] = { columns[0], columns[1] };

	return add_cells(((struct giving *)arg)->to, cells, 2);
}

static int
give_alias(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const char *const cells[] = { columns[0], columns[1], "alias" };

	return add_cells(((struct giving *)arg)->to, cells, 3);
}

static int
give_delegate(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct giving *to = arg;
	bool group = strcmp(columns[2], "group") == 0;
	const char *const cells[] = { columns[0],
		group ? arena_printf(&to->exchange->arena, "group:%s", columns[1]) : columns[1],
		"delegated" };

	return add_cells(to->to, cells, 3);
}

static int
give_rows(struct exchange *exchange, enum record_kind kind, record_fn *give, struct buf *ret,
    struct pn_error *err)
{
	struct giving giving = { exchange, ret };

	return records_each(exchange->ctl->db, kind, give, &giving, err);
}

static int
give_accounts(struct exchange *exchange, struct buf *ret, struct pn_error *err)
{
	return give_rows(exchange, RECORD_ACCOUNT, give_account, ret, err);
}

static int
give_domains(struct exchange *exchange, struct buf *ret, struct pn_error *err)
{
	return give_rows(exchange, RECORD_DOMAIN, give_domain, ret, err);
}

static int
give_users(struct exchange *exchange, struct buf *ret, struct pn_error *err)
{
	return give_rows(exchange, RECORD_USER, give_user, ret, err);
}

static int
give_groups(struct exchange *exchange, struct buf *ret, struct pn_error *err)
{
	int r = give_rows(exchange, RECORD_GROUP, give_group, ret, err);

	return r < 0 ? r : give_rows(exchange, RECORD_MEMBER, give_group, ret, err);
}

static int
give_addresses(struct exchange *exchange, struct buf *ret, struct pn_error *err)
{
	int r = give_rows(exchange, RECORD_ALIAS, give_alias, ret, err);

	return r < 0 ? r : give_rows(exchange, RECORD_DELEGATE, give_delegate, ret, err);
}

/* ---- import, row by row ---------------------------------------------------------------------- */

/* In the arena; NULL: complained. */
static const char *
address_in(struct exchange *exchange, int column, const char *text)
{
	char address[MAIL_ADDRESS_SIZE];
	struct pn_error err;

	if (ctl_read_address(text, address, &err))
		return arena_text(&exchange->arena, address);
	exchange_complain(exchange, column, "%s; write for example ada@example.com", err.text);
	return NULL;
}

static const char *
name_in(struct exchange *exchange, int column, const char *text)
{
	struct pn_error err;

	if (ctl_is_new_name(text, &err))
		return text;
	exchange_complain(exchange, column, "%s", err.text);
	return NULL;
}

static void
take_account(struct exchange *exchange)
{
	static const char *const keys[] = { "account", "licences", "paid", "plan" };
	const char *name = name_in(exchange, 0, exchange_cell(exchange, 0));
	struct exchange_put put = { .kind = RECORD_ACCOUNT,
		.keys = 1,
		.columns = { name },
		.what = "account",
		.object = "account" };
	const char *const *before;
	char value[CTL_ACCOUNT_VALUE];
	struct pn_error err;

	if (!name)
		return;
	before = exchange_find(exchange, RECORD_ACCOUNT, 1, put.columns);
	for (int i = 1; i < RECORD_COLUMNS; i++) {
		const char *cell = exchange_cell(exchange, i);

		if (!cell) {
			put.columns[i] = before ? before[i] : NULL;
		} else if (!ctl_account_value(keys[i], cell, value, &err)) {
			exchange_complain(exchange, i, "%s", err.text);
			return;
		} else {
			put.columns[i] = *value ? arena_text(&exchange->arena, value) : NULL;
		}
	}
	exchange_put(exchange, &put);
}

static void
take_domain(struct exchange *exchange)
{
	const char *account = exchange_cell(exchange, 1);
	char domain[MAIL_DOMAIN_MOST + 1];
	struct exchange_put put = {
		.kind = RECORD_DOMAIN, .keys = 1, .what = "domain", .object = "account"
	};

	if (mail_domain_canonical(exchange_cell(exchange, 0), domain) < 0 || !*domain) {
		exchange_complain(exchange, 0,
		    "\"%.300s\" is not a domain; write for example "
		    "example.com",
		    exchange_cell(exchange, 0));
		return;
	}
	put.columns[0] = arena_text(&exchange->arena, domain);
	put.columns[1] = account;
	exchange_put(exchange, &put);
	exchange_claim(exchange, CLAIM_ACCOUNT, 1, account, NULL);
	exchange_claim(exchange, CLAIM_DOMAIN, 0, domain, account);
}

/* The switch as it is stored; NULL: complained. */
static const char *
enabled_in(struct exchange *exchange, const char *const *before)
{
	const char *cell = exchange_cell(exchange, 1);

	if (!cell)
		return before ? before[1] : "1";
	if (!*cell || strcmp(cell, "yes") == 0)
		return "1";
	if (strcmp(cell, "no") == 0)
		return "0";
	exchange_complain(exchange, 1, "\"%.40s\" is neither yes nor no", cell);
	return NULL;
}

static void
take_fields(struct exchange *exchange, const char *address)
{
	for (int i = 3; i < EXCHANGE_COLUMNS; i++) {
		const char *value = exchange_cell(exchange, i), *field = directory_fields[i - 3];
		const struct exchange_put put = { .kind = RECORD_FIELD,
			.keys = 2,
			.columns = { address, field, value },
			.what = "user",
			.object = field,
			.column = i,
			.removes = value && !*value };

		if (value)
			exchange_put(exchange, &put);
	}
}

static void
take_user(struct exchange *exchange)
{
	const char *address = address_in(exchange, 0, exchange_cell(exchange, 0));
	const char *account = exchange_cell(exchange, 2);
	struct exchange_put user = { .kind = RECORD_USER,
		.keys = 1,
		.columns = { address },
		.what = "user",
		.object = "user" };
	struct exchange_put registered = { .kind = RECORD_REGISTERED,
		.keys = 1,
		.columns = { address, account },
		.what = "user",
		.object = "account",
		.column = 2,
		.removes = account && !*account };

	if (!address)
		return;
	user.columns[1] = enabled_in(
	    exchange, exchange_find(exchange, RECORD_USER, 1, user.columns));
	user.columns[2] = "1";
	if (!user.columns[1])
		return;
	exchange_put(exchange, &user);
	if (account)
		exchange_put(exchange, &registered);
	if (account && *account)
		exchange_claim(exchange, CLAIM_ACCOUNT, 2, account, NULL);
	take_fields(exchange, address);
	exchange_claim(exchange, CLAIM_LICENCE, 0, address, NULL);
}

static void
take_group(struct exchange *exchange)
{
	const char *name = name_in(exchange, 0, exchange_cell(exchange, 0));
	const char *member = exchange_cell(exchange, 1);
	const struct exchange_put group = { .kind = RECORD_GROUP,
		.keys = 1,
		.columns = { name },
		.what = "group",
		.object = "group" };
	struct exchange_put put = {
		.kind = RECORD_MEMBER, .keys = 2, .columns = { name }, .what = "group", .column = 1
	};

	if (!name)
		return;
	if (!roster_has_group(generation_roster(exchange->ctl->generation), name))
		exchange_put(exchange, &group);
	if (!member || !*member)
		return;
	put.columns[1] = put.object = address_in(exchange, 1, member);
	if (put.object)
		exchange_put(exchange, &put);
}

static void
take_alias(struct exchange *exchange, const char *address)
{
	const char *user = address_in(exchange, 1, exchange_cell(exchange, 1));
	const struct exchange_put put = { .kind = RECORD_ALIAS,
		.keys = 1,
		.columns = { address, user },
		.what = "address",
		.object = "alias" };

	if (!user)
		return;
	exchange_put(exchange, &put);
	exchange_claim(exchange, CLAIM_USER, 1, user, NULL);
	exchange_claim(exchange, CLAIM_ALIAS, 0, address, user);
	if (strcmp(user, address) == 0)
		exchange_complain(exchange, 0, "%s is the user's own address", address);
}

static void
take_address(struct exchange *exchange)
{
	const char *address = address_in(exchange, 0, exchange_cell(exchange, 0));
	const char *who = exchange_cell(exchange, 1), *as = exchange_cell(exchange, 2);
	bool group = strncmp(who, "group:", 6) == 0;
	struct exchange_put put = { .kind = RECORD_DELEGATE,
		.keys = 3,
		.columns = { address },
		.what = "address",
		.column = 1 };

	if (!address)
		return;
	if (strcmp(as, "alias") == 0) {
		take_alias(exchange, address);
		return;
	}
	if (strcmp(as, "delegated") != 0) {
		exchange_complain(exchange, 2, "\"%.40s\" is neither alias nor delegated", as);
		return;
	}
	put.columns[1] = group ? who + 6 : address_in(exchange, 1, who);
	put.columns[2] = group ? "group" : "user";
	put.object = put.columns[1];
	if (!put.object)
		return;
	exchange_put(exchange, &put);
	if (group)
		exchange_claim(exchange, CLAIM_GROUP, 1, put.object, NULL);
}

static const struct table tables[] = {
	{ "account", { "account", "licences", "paid", "plan" }, 1, take_account, give_accounts },
	{ "domain", { "domain", "account" }, 2, take_domain, give_domains },
	{ "user", { "address", "enabled", "account", "name", "title", "phone" }, 1, take_user,
	    give_users },
	{ "group", { "group", "member" }, 1, take_group, give_groups },
	{ "address", { "address", "who", "as" }, 3, take_address, give_addresses },
};

/* ---- import, whole --------------------------------------------------------------------------- */

static int
read_all(int fd, const char *name, struct buf *ret, struct pn_error *err)
{
	ssize_t got = 1;
	int r = 0;

	while (r == 0 && got > 0) {
		char bytes[16384];

		got = read(fd, bytes, sizeof(bytes));
		if (got < 0)
			return pn_error_set(err, -errno, "%s: %s", name, strerror(errno));
		r = buf_add(ret, bytes, (size_t)got);
	}
	return r < 0 ? pn_error_set(err, r, "%s: longer than %u MiB", name, FILE_MOST >> 20) : 0;
}

/* With the rights of who asks: afterwards the file may be out of reach. */
static int
read_file(const char *name, struct buf *ret, struct pn_error *err)
{
	int r, fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return pn_error_set(err, -errno, "%s: %s", name, strerror(errno));
	r = read_all(fd, name, ret, err);
	if (fd != STDIN_FILENO)
		close(fd);
	return r;
}

static int
column_of(const struct table *table, const char *name)
{
	for (int i = 0; i < EXCHANGE_COLUMNS && table->columns[i]; i++)
		if (strcmp(table->columns[i], name) == 0)
			return i;
	return -1;
}

static const char *
columns_text(struct exchange *exchange, const struct table *table)
{
	const char *text = table->columns[0];

	for (int i = 1; table->columns[i]; i++)
		text = arena_printf(&exchange->arena, "%s, %s", text, table->columns[i]);
	return text;
}

static void
read_header(struct exchange *exchange, const struct table *table)
{
	const struct csv_row *row = &exchange->row;

	for (int i = 0; i < EXCHANGE_COLUMNS; i++)
		exchange->places[i] = -1;
	for (size_t i = 0; i < row->count; i++) {
		const struct csv_cell *cell = &row->cells[i];
		int column = column_of(table, cell->text);

		if (column < 0)
			exchange_complain_at(exchange, cell->line, cell->column,
			    "\"%.40s\" is no column; the first line names some of these, separated "
			    "by commas: %s",
			    cell->text, columns_text(exchange, table));
		else if (exchange->places[column] >= 0)
			exchange_complain_at(exchange, cell->line, cell->column,
			    "the column \"%s\" stands there already", cell->text);
		else
			exchange->places[column] = (int)i;
	}
	for (int i = 0; i < table->needed && exchange->mistakes == 0; i++)
		if (exchange->places[i] < 0)
			exchange_complain_at(exchange, row->cells[0].line, row->cells[0].column,
			    "the column \"%s\" is missing", table->columns[i]);
}

static void
take_row(struct exchange *exchange, const struct table *table, size_t cells)
{
	if (exchange->row.count == cells)
		table->take(exchange);
	else
		exchange_complain_at(exchange, exchange->row.cells[0].line,
		    exchange->row.cells[0].column,
		    "%zu cells, and the first line names %zu columns", exchange->row.count, cells);
}

/* Without columns nothing behind them makes sense; else all that is wrong is said. */
static void
read_rows(struct exchange *exchange, const struct table *table, struct pn_slice text)
{
	struct pn_error err = { 0 };
	struct csv csv;
	size_t cells;
	int r = csv_open(&csv, text, &err);

	if (r == 0)
		r = csv_next(&csv, &exchange->arena, &exchange->row, &err);
	if (r == 1)
		read_header(exchange, table);
	else if (r == 0)
		exchange_complain_at(exchange, 1, 1,
		    "the file is empty; its first line names some of these columns: %s",
		    columns_text(exchange, table));
	if (r == 1 && exchange->mistakes > 0)
		return;
	cells = exchange->row.count;
	while (r == 1) {
		r = csv_next(&csv, &exchange->arena, &exchange->row, &err);
		if (r == 1)
			take_row(exchange, table, cells);
	}
	if (r < 0)
		exchange_complain_at(exchange, csv.line, csv.column, "%s", err.text);
}

struct wish {
	const char *file;
	bool dry_run;
};

static int
read_wish(int argc, char **argv, struct wish *ret, struct pn_error *err)
{
	*ret = (struct wish){ 0 };
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--dry-run") == 0)
			ret->dry_run = true;
		else if (!ret->file)
			ret->file = argv[i];
		else
			return pn_error_set(err, -EINVAL, "one file, not also \"%.200s\"", argv[i]);
	}
	return ret->file ? 0 : pn_error_set(err, -EINVAL, "which file? - is standard input");
}

/* In the transaction. */
static int
apply(struct exchange *exchange, const struct table *table, struct pn_slice text,
    struct pn_error *err)
{
	int r = ctl_directory_unchanged(exchange->ctl, err);

	if (r == 0)
		r = exchange_open(exchange, err);
	if (r < 0)
		return r;
	read_rows(exchange, table, text);
	if (exchange->mistakes == 0)
		r = exchange_judge(exchange, err);
	if (r == 0 && exchange->mistakes > 0)
		r = pn_error_set(err, -EINVAL, "%s: %zu mistake%s; nothing was changed",
		    exchange->file, exchange->mistakes, exchange->mistakes > 1 ? "s" : "");
	return r;
}

static int
import_rows(struct exchange *exchange, const struct table *table, const struct wish *wish,
    struct pn_slice text, struct pn_error *err)
{
	struct ctl *ctl = exchange->ctl;
	struct audit_row row = { .who = ctl->who, .scope = "default", .object = wish->file };
	struct pn_error unused;
	int r = audit_begin(ctl->db, err);

	if (r < 0)
		return r;
	r = apply(exchange, table, text, err);
	row.action = arena_printf(&exchange->arena, "%s import", table->word);
	row.after = arena_printf(&exchange->arena, "%zu changes", exchange->changes);
	if (r < 0 || wish->dry_run || exchange->changes == 0) {
		audit_end(ctl->db, NULL, -ECANCELED, &unused);
		return r;
	}
	r = audit_end(ctl->db, &row, 0, err);
	if (r == 0)
		ctl_tell_relay(ctl);
	return r;
}

static int
run_import(struct ctl *ctl, const struct table *table, int argc, char **argv, struct pn_error *err)
{
	struct exchange exchange = { .ctl = ctl, .word = table->word };
	struct buf text = BUF_INIT(FILE_MOST);
	struct wish wish;
	int code = EXIT_USAGE;

	if (read_wish(argc, argv, &wish, err) < 0)
		return code;
	exchange.file = strcmp(wish.file, "-") == 0 ? "standard input" : wish.file;
	code = read_file(wish.file, &text, err) < 0 ? EXIT_REFUSED : ctl_open_db(ctl, err);
	if (code == EXIT_OK && import_rows(&exchange, table, &wish, buf_slice(&text), err) < 0)
		code = EXIT_REFUSED;
	if (code == EXIT_OK && !ctl->console.json)
		fprintf(stderr, "posternctl: %zu change%s%s\n", exchange.changes,
		    exchange.changes == 1 ? "" : "s", wish.dry_run ? " would be made" : " made");
	exchange_close(&exchange);
	buf_free(&text);
	return code;
}

static int
run_export(struct ctl *ctl, const struct table *table, struct pn_error *err)
{
	struct exchange exchange = { .ctl = ctl, .word = table->word };
	struct buf text = BUF_INIT(SIZE_MAX / 2);
	int r, count = 0, code;

	if (ctl->console.json) {
		pn_error_set(err, -EINVAL, "export writes CSV; %s list has JSON", table->word);
		return EXIT_USAGE;
	}
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	while (count < EXCHANGE_COLUMNS && table->columns[count])
		count++;
	r = exchange_open(&exchange, err);
	if (r == 0)
		r = add_cells(&text, table->columns, count);
	if (r == 0)
		r = table->give(&exchange, &text, err);
	if (r == 0)
		fwrite(text.data, 1, text.len, stdout);
	exchange_close(&exchange);
	buf_free(&text);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

#define COMMANDS(word, index) \
	static int run_##word##_import( \
	    struct ctl *ctl, int argc, char **argv, struct pn_error *err) \
	{ \
		return run_import(ctl, &tables[index], argc, argv, err); \
	} \
	static int run_##word##_export( \
	    struct ctl *ctl, int argc, char **argv, struct pn_error *err) \
	{ \
		return run_export(ctl, &tables[index], err); \
	}
COMMANDS(account, 0)
COMMANDS(domain, 1)
COMMANDS(user, 2)
COMMANDS(group, 3)
COMMANDS(address, 4)

#define IMPORT      "FILE|- [--dry-run]"
#define EXPORT_HELP "Write what the database has of them as comma-separated values: "
#define IMPORT_HELP \
	"Add and change what stands in a file of such columns, all of it or nothing; --dry-run " \
	"shows what would change. Empty cells clear: "

const struct ctl_command ctl_exchange_commands[] = {
	{ "account export", "", EXPORT_HELP "account, licences, paid, plan.", 0, 0,
	    run_account_export },
	{ "account import", IMPORT, IMPORT_HELP "account, licences, paid, plan.", 1, 2,
	    run_account_import },
	{ "domain export", "", EXPORT_HELP "domain, account.", 0, 0, run_domain_export },
	{ "domain import", IMPORT, IMPORT_HELP "domain, account.", 1, 2, run_domain_import },
	{ "user export", "", EXPORT_HELP "address, enabled, account, name, title, phone.", 0, 0,
	    run_user_export },
	{ "user import", IMPORT, IMPORT_HELP "address, enabled, account, name, title, phone.", 1, 2,
	    run_user_import },
	{ "group export", "", EXPORT_HELP "group, member.", 0, 0, run_group_export },
	{ "group import", IMPORT, IMPORT_HELP "group, member.", 1, 2, run_group_import },
	{ "address export", "",
	    EXPORT_HELP "address, who (a user or group:NAME), as (alias or delegated).", 0, 0,
	    run_address_export },
	{ "address import", IMPORT,
	    IMPORT_HELP "address, who (a user or group:NAME), as (alias or delegated).", 1, 2,
	    run_address_import },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
