/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.c - the SQL layer on SQLite: connections per thread, cached statements, values and rows.
 *
 * Called by db.c and directory.c, and for modules by core/policy, on threads that may block. Must
 * never show a type or an error number of SQLite to its callers, and never keep a transaction open
 * between two calls of db_run.
 */
#include <core/store/sqlite.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#define BUSY_MS         5000
#define STATEMENTS_MOST 64 /* kept per connection */

struct connection {
	struct db *db;
	struct connection *next;
	sqlite3 *handle;
	GHashTable *statements; /* text -> sqlite3_stmt that is not in use */
	bool in_transaction;
};

struct db {
	char *path;
	bool read_only;
	pthread_key_t key;
	pthread_mutex_t lock; /* of the list */
	struct connection *connections;
};

struct pn_row {
	sqlite3_stmt *statement;
};

/* ---- errors ---------------------------------------------------------------------------------- */

static int
errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_CONSTRAINT:
		return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY
			   ? -EEXIST
			   : -EINVAL;
	case SQLITE_ERROR: /* what the statement itself says is wrong */
	case SQLITE_RANGE:
	case SQLITE_MISMATCH:
		return -EINVAL;
	default:
		return -EIO;
	}
}

static int
fail(struct connection *connection, struct pn_error *err)
{
	int r = errno_of(sqlite3_extended_errcode(connection->handle));

	return pn_error_set(err, r < 0 ? r : -EIO, "%s: %s", connection->db->path,
	    sqlite3_errmsg(connection->handle));
}

/* ---- connections ----------------------------------------------------------------------------- */

static void
finalize(void *statement)
{
	sqlite3_finalize(statement);
}

static void
connection_free(struct connection *connection)
{
	if (connection->statements)
		g_hash_table_destroy(connection->statements);
	sqlite3_close(connection->handle);
	free(connection);
}

/* The end of a thread that used the database. */
static void
connection_drop(void *data)
{
	struct connection *connection = data, **at;
	struct db *db = connection->db;

	pthread_mutex_lock(&db->lock);
	for (at = &db->connections; *at; at = &(*at)->next)
		if (*at == connection) {
			*at = connection->next;
			break;
		}
	pthread_mutex_unlock(&db->lock);
	connection_free(connection);
}

/*
 * FULL: a committed effect counts as done once the spool's mark is written, so it must not be the
 * database that forgets it in a power cut.
 */
static int
connection_setup(struct connection *connection, struct pn_error *err)
{
	const char *pragmas =
	    connection->db->read_only
		? "PRAGMA query_only = ON;"
		: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
		  "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;";

	sqlite3_busy_timeout(connection->handle, BUSY_MS);
	sqlite3_extended_result_codes(connection->handle, 1);
	if (sqlite3_exec(connection->handle, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return fail(connection, err);
	return 0;
}

static int
connection_new(struct db *db, struct connection **ret, struct pn_error *err)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int flags = SQLITE_OPEN_NOMUTEX |
		    (db->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	int r;

	if (!connection)
		return pn_error_set(err, -ENOMEM, "%s: out of memory", db->path);
	connection->db = db;
	if (sqlite3_open_v2(db->path, &connection->handle, flags, NULL) != SQLITE_OK)
		r = connection->handle ? fail(connection, err)
				       : pn_error_set(err, -ENOMEM, "%s: out of memory", db->path);
	else
		r = connection_setup(connection, err);
	if (r < 0) {
		connection_free(connection);
		return r;
	}
	connection->statements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, finalize);
	*ret = connection;
	return 0;
}

static int
connection_get(struct db *db, struct connection **ret, struct pn_error *err)
{
	struct connection *connection = pthread_getspecific(db->key);
	int r;

	if (!connection) {
		r = connection_new(db, &connection, err);
		if (r < 0)
			return r;
		r = pthread_setspecific(db->key, connection);
		if (r != 0) {
			connection_free(connection);
			return pn_error_set(err, -r, "%s: out of memory", db->path);
		}
		pthread_mutex_lock(&db->lock);
		connection->next = db->connections;
		db->connections = connection;
		pthread_mutex_unlock(&db->lock);
	}
	*ret = connection;
	return 0;
}

/* SQLite gives its -wal and -shm files the mode of the database file. */
static int
create_file(const char *path, struct pn_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return pn_error_set(
		    err, -errno, "%s: cannot open the database: %s", path, g_strerror(errno));
	close(fd);
	return 0;
}

int
db_open(const char *path, bool read_only, struct db **ret, struct pn_error *err)
{
	struct connection *connection;
	struct db *db;
	int r;

	if (!read_only) {
		r = create_file(path, err);
		if (r < 0)
			return r;
	}
	db = calloc(1, sizeof(*db));
	if (!db)
		return pn_error_set(err, -ENOMEM, "%s: out of memory", path);
	r = pthread_key_create(&db->key, connection_drop);
	if (r != 0) {
		free(db);
		return pn_error_set(err, -r, "%s: too many databases", path);
	}
	db->path = g_strdup(path);
	db->read_only = read_only;
	pthread_mutex_init(&db->lock, NULL);
	r = connection_get(db, &connection, err);
	if (r < 0) {
		db_close(&db);
		return r;
	}
	*ret = db;
	return 0;
}

void
db_close(struct db **db)
{
	if (!*db)
		return;
	pthread_key_delete((*db)->key);
	while ((*db)->connections) {
		struct connection *connection = (*db)->connections;

		(*db)->connections = connection->next;
		connection_free(connection);
	}
	pthread_mutex_destroy(&(*db)->lock);
	g_free((*db)->path);
	free(*db);
	*db = NULL;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* Taken out of the cache while in use, so a callback may run the same text again. */
static int
statement_take(
    struct connection *connection, const char *sql, sqlite3_stmt **ret, struct pn_error *err)
{
	gpointer key, value;
	const char *tail;

	if (g_hash_table_steal_extended(connection->statements, sql, &key, &value)) {
		g_free(key);
		*ret = value;
		return 0;
	}
	if (sqlite3_prepare_v3(
		connection->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, &tail) != SQLITE_OK)
		return fail(connection, err);
	if (!*ret || tail[strspn(tail, " \t\r\n;")]) {
		sqlite3_finalize(*ret);
		return pn_error_set(
		    err, -EINVAL, "one SQL statement is wanted, not \"%.60s\"", sql);
	}
	return 0;
}

static void
statement_give(struct connection *connection, const char *sql, sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	if (g_hash_table_size(connection->statements) >= STATEMENTS_MOST)
		g_hash_table_remove_all(connection->statements);
	g_hash_table_replace(connection->statements, g_strdup(sql), statement);
}

static int
bind_value(sqlite3_stmt *statement, int at, const struct pn_value *value)
{
	const char *data = value->bytes.data ? value->bytes.data : "";

	switch (value->type) {
	case PN_VALUE_INT:
		return sqlite3_bind_int64(statement, at, value->number);
	case PN_VALUE_TEXT:
		return sqlite3_bind_text64(
		    statement, at, data, value->bytes.len, SQLITE_STATIC, SQLITE_UTF8);
	case PN_VALUE_BLOB:
		return sqlite3_bind_blob64(statement, at, data, value->bytes.len, SQLITE_STATIC);
	case PN_VALUE_NULL:
		return sqlite3_bind_null(statement, at);
	}
	return SQLITE_MISMATCH;
}

static int
bind_all(struct connection *connection, sqlite3_stmt *statement, struct pn_values values,
    struct pn_error *err)
{
	if ((size_t)sqlite3_bind_parameter_count(statement) != values.count)
		return pn_error_set(err, -EINVAL, "the SQL statement wants %d values, not %zu",
		    sqlite3_bind_parameter_count(statement), values.count);
	for (size_t i = 0; i < values.count; i++)
		if (bind_value(statement, (int)i + 1, &values.items[i]) != SQLITE_OK)
			return fail(connection, err);
	return 0;
}

static int
step_all(struct connection *connection, sqlite3_stmt *statement, pn_row_fn *each, void *arg,
    struct pn_error *err)
{
	struct pn_row row = { statement };
	int code, r;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		r = each ? each(arg, &row) : 0;
		if (r != 0)
			return r;
	}
	return code == SQLITE_DONE ? 0 : fail(connection, err);
}

static int
run(struct db *db, struct pn_error *err, const char *sql, struct pn_values values, pn_row_fn *each,
    void *arg)
{
	struct connection *connection;
	sqlite3_stmt *statement;
	int r;

	r = connection_get(db, &connection, err);
	if (r < 0)
		return r;
	r = statement_take(connection, sql, &statement, err);
	if (r < 0)
		return r;
	r = bind_all(connection, statement, values, err);
	if (r == 0)
		r = step_all(connection, statement, each, arg, err);
	statement_give(connection, sql, statement);
	if (!connection->in_transaction && !sqlite3_get_autocommit(connection->handle)) {
		sqlite3_exec(connection->handle, "ROLLBACK", NULL, NULL, NULL);
		return pn_error_set(err, -EINVAL, "a transaction cannot span calls");
	}
	return r;
}

int
db_run(struct db *db, struct pn_error *err, const char *sql, struct pn_values values)
{
	return run(db, err, sql, values, NULL, NULL);
}

int
db_query(struct db *db, struct pn_error *err, const char *sql, struct pn_values values,
    pn_row_fn *each, void *arg)
{
	return run(db, err, sql, values, each, arg);
}

int64_t
pn_row_int(const struct pn_row *row, int column)
{
	return sqlite3_column_int64(row->statement, column);
}

struct pn_slice
pn_row_bytes(const struct pn_row *row, int column)
{
	const void *data;

	if (sqlite3_column_type(row->statement, column) == SQLITE_NULL)
		return pn_slice(NULL, 0);
	data = sqlite3_column_blob(row->statement, column); /* NULL where it is empty */
	return pn_slice(data ? data : "", (size_t)sqlite3_column_bytes(row->statement, column));
}

/* ---- transactions ---------------------------------------------------------------------------- */

static int
execute(struct db *db, const char *sql, struct connection **ret, struct pn_error *err)
{
	int r = connection_get(db, ret, err);

	if (r == 0 && sqlite3_exec((*ret)->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		r = fail(*ret, err);
	return r;
}

int
sqlite_begin(struct db *db, struct pn_error *err)
{
	struct connection *connection;
	int r = execute(db, "BEGIN IMMEDIATE", &connection, err);

	if (r == 0)
		connection->in_transaction = true;
	return r;
}

int
sqlite_commit(struct db *db, struct pn_error *err)
{
	struct connection *connection;
	int r = execute(db, "COMMIT", &connection, err);

	if (r == 0)
		connection->in_transaction = false;
	return r;
}

void
sqlite_rollback(struct db *db)
{
	struct connection *connection;

	if (execute(db, "ROLLBACK", &connection, NULL) == 0)
		connection->in_transaction = false;
}

int
sqlite_end(struct db *db, int r, struct pn_error *err)
{
	if (r == 0)
		r = sqlite_commit(db, err);
	if (r < 0)
		sqlite_rollback(db);
	return r;
}

int
sqlite_script(struct db *db, const char *sql, struct pn_error *err)
{
	struct connection *connection;

	return execute(db, sql, &connection, err);
}

/* ---- copies ---------------------------------------------------------------------------------- */

#define COPY_PAGES 1024

static int
copy_pages(sqlite3_backup *copy, void (*progress)(void *arg, int64_t done, int64_t of), void *arg)
{
	int code;

	do {
		code = sqlite3_backup_step(copy, COPY_PAGES);
		progress(arg, sqlite3_backup_pagecount(copy) - sqlite3_backup_remaining(copy),
		    sqlite3_backup_pagecount(copy));
	} while (code == SQLITE_OK);
	return code;
}

/* `code` is SQLite's last word on it, where the connections have none. */
static int
copy_into(struct connection *from, sqlite3 *to, const char *path,
    void (*progress)(void *arg, int64_t done, int64_t of), void *arg, struct pn_error *err)
{
	sqlite3_backup *copy = sqlite3_backup_init(to, "main", from->handle, "main");
	int code = SQLITE_ERROR, last;

	if (copy) {
		code = copy_pages(copy, progress, arg);
		last = sqlite3_backup_finish(copy);
		if (code == SQLITE_DONE)
			code = last;
	}
	if (copy && code == SQLITE_OK)
		return 0;
	return pn_error_set(err, errno_of(code) < 0 ? errno_of(code) : -EIO, "%s: %s", path,
	    copy ? sqlite3_errstr(code) : sqlite3_errmsg(to));
}

/* What this connection reads stays what it is from its first look on: steps need no lock. */
int
db_copy(struct db *db, const char *to, void (*progress)(void *arg, int64_t done, int64_t of),
    void *arg, struct pn_error *err)
{
	static const char begin[] = "BEGIN; SELECT COUNT(*) FROM sqlite_master";
	struct connection *connection;
	sqlite3 *handle = NULL;
	int r = execute(db, begin, &connection, err);

	if (r < 0)
		return r;
	if (sqlite3_open_v2(to, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
	    SQLITE_OK)
		r = pn_error_set(
		    err, -EIO, "%s: %s", to, handle ? sqlite3_errmsg(handle) : "out of memory");
	else
		r = copy_into(connection, handle, to, progress, arg, err);
	sqlite3_close(handle);
	sqlite3_exec(connection->handle, "ROLLBACK", NULL, NULL, NULL);
	return r;
}
