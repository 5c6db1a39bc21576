/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_restore.c - posternctl restore: puts a backup in place.
 *
 * All of the backup is checked before anything is touched, no relay may run, and each thing comes
 * under its name when it is whole. Must never write over a configuration, nor throw a database
 * away: the one before stays beside the new one.
 */
#include <core/base/clock.h>
#include <core/config/keyring.h>
#include <core/ctl/archive.h>
#include <core/ctl/backup.h>
#include <core/master/privileges.h>
#include <core/store/audit.h>
#include <core/store/tables.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct restore {
	struct ctl *ctl;
	const char *path;
	bool config, check, spool, hold;
	struct progress progress;
	json_t *manifest;
	char *state, *user; /* directory; NULL: nobody */
	char *database, *unfinished, *before;
	int lock; /* -1: not held */
	int files;
	struct restored_spool mail;
};

/* ---- what it is about ------------------------------------------------------------------------ */

static int
take_words(struct restore *restore, int argc, char **argv, struct pn_error *err)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0)
			restore->config = true;
		else if (strcmp(argv[i], "--check") == 0)
			restore->check = true;
		else if (strcmp(argv[i], "--spool") == 0)
			restore->spool = true;
		else if (strcmp(argv[i], "--hold") == 0)
			restore->hold = true;
		else if (strncmp(argv[i], "--", 2) != 0 && !restore->path)
			restore->path = argv[i];
		else
			return pn_error_set(err, -EINVAL,
			    "\"%s\": restore takes one FILE, --config, --spool, --hold, --check",
			    argv[i]);
	}
	if ((restore->hold && !restore->spool) || (restore->config && restore->spool))
		return pn_error_set(err, -EINVAL,
		    "--hold goes with --spool, and --spool not with --config: the mail comes last");
	return restore->path ? 0 : pn_error_set(err, -EINVAL, "which FILE?");
}

static bool
has_yaml(const char *folder)
{
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;
	bool found = false;

	while (dir && !found && (name = g_dir_read_name(dir)))
		found = g_str_has_suffix(name, ".yaml");
	if (dir)
		g_dir_close(dir);
	return found;
}

/* By the configuration that will hold: the one here, or the one that comes. */
static int
find_place(struct restore *restore, struct pn_error *err)
{
	const struct config_relay *relay;

	if (restore->config) {
		if (has_yaml(restore->ctl->folder))
			return pn_error_set(err, -EEXIST,
			    "%s: there is a configuration already, and --config replaces none: "
			    "move it away, or restore without --config",
			    restore->ctl->folder);
		restore->state = g_strdup(
		    json_string_value(json_object_get(restore->manifest, "state_directory")));
		restore->user = g_strdup(
		    json_string_value(json_object_get(restore->manifest, "user")));
	} else {
		if (ctl_open_generation(restore->ctl, err) != EXIT_OK)
			return -EINVAL;
		relay = &generation_core(restore->ctl->generation)->relay;
		restore->state = g_strdup(relay->state_directory);
		restore->user = g_strdup(relay->user);
	}
	if (!restore->state || !g_path_is_absolute(restore->state))
		return pn_error_set(
		    err, -EBADMSG, "%s: " ARCHIVE_MANIFEST " makes no sense", restore->path);
	restore->database = g_strdup_printf("%s/" BACKUP_DATABASE_FILE, restore->state);
	return 0;
}

/* As posternd does: who has it cannot be started meanwhile. */
static int
claim(struct restore *restore, struct pn_error *err)
{
	int r = privileges_folder(restore->state, restore->user, 0700, err);

	if (r < 0)
		return r;
	restore->lock = open(restore->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (restore->lock < 0)
		return pn_error_set(err, -errno, "%s: %s", restore->state, g_strerror(errno));
	if (flock(restore->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return pn_error_set(err, -errno,
	    errno == EWOULDBLOCK ? "%s: a relay runs on this folder: stop posternd first"
				 : "%s: cannot be locked",
	    restore->state);
}

/* ---- the database ---------------------------------------------------------------------------- */

/* As root: whose the folder is, so that the relay can open it. */
static int
give(const struct restore *restore, const char *path, struct pn_error *err)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstat(restore->lock, &st) < 0 || lchown(path, st.st_uid, st.st_gid) < 0)
		return pn_error_set(err, -errno, "%s: %s", path, g_strerror(errno));
	return 0;
}

/* It opens, no newer version wrote its tables, and it knows where it has been. */
static int
try_database(const struct restore *restore, struct pn_error *err)
{
	const char *taken = json_string_value(json_object_get(restore->manifest, "taken"));
	struct audit_row row = { .who = restore->ctl->who,
		.action = "restore",
		.scope = "relay",
		.object = restore->path,
		.after = taken };
	struct db *db = NULL;
	int r = db_open(restore->unfinished, false, &db, err);

	if (r == 0)
		r = tables_migrate(db, err);
	if (r == 0)
		r = audit_add(db, &row, err);
	db_close(&db);
	return r;
}

/* Its last transactions may lie beside it: they go into it now, or it is not to be moved. */
static int
settle_old(const struct restore *restore, struct pn_error *err)
{
	char *beside = g_strdup_printf("%s-wal", restore->database);
	struct db *db = NULL;
	struct pn_error why = { 0 };
	int r = db_open(restore->database, false, &db, &why);

	if (r == 0)
		r = db_run(db, &why, "DELETE FROM migrations WHERE 0", PN_NO_VALUES);
	db_close(&db);
	if (r == 0 && access(beside, F_OK) == 0)
		r = pn_error_set(&why, -EBUSY, "somebody has it open");
	if (r < 0)
		pn_error_set(err, r,
		    "%s: the database that is there cannot be kept (%s): move it away, with -wal "
		    "and -shm of the same name, and try again",
		    restore->database, why.text);
	g_free(beside);
	return r;
}

static int
keep_old(struct restore *restore, struct pn_error *err)
{
	int r;

	if (access(restore->database, F_OK) < 0)
		return 0;
	r = settle_old(restore, err);
	if (r < 0)
		return r;
	restore->before = g_strdup_printf(
	    "%s.before-restore-%lld", restore->database, (long long)(clock_wall_us() / 1000000));
	if (link(restore->database, restore->before) == 0)
		return 0;
	return pn_error_set(err, -errno, "%s: %s", restore->before, g_strerror(errno));
}

static int
prepare_database(struct restore *restore, struct pn_error *err)
{
	int r;

	restore->unfinished = g_strdup_printf("%s.restore", restore->database);
	unlink(restore->unfinished); /* of one that was killed */
	r = archive_extract(restore->path, restore->manifest, BACKUP_DATABASE, restore->unfinished,
	    &restore->progress, err);
	if (r > 0)
		r = try_database(restore, err);
	return r == 0 ? give(restore, restore->unfinished, err) : r;
}

static int
put_database(struct restore *restore, struct pn_error *err)
{
	int r = keep_old(restore, err);

	if (r < 0)
		return r;
	if (rename(restore->unfinished, restore->database) < 0 || fsync(restore->lock) < 0)
		return pn_error_set(err, -errno, "%s: %s", restore->database, g_strerror(errno));
	return 0;
}

/* ---- the configuration ----------------------------------------------------------------------- */

/* All of it under other names in a folder beside, which then gets the name. */
static int
put_configuration(struct restore *restore, struct pn_error *err)
{
	char *folder = g_strdup_printf("%s.restore", restore->ctl->folder);
	int r = privileges_folder(folder, NULL, 0755, err);

	if (r == 0 && geteuid() == 0 && lchown(folder, 0, 0) < 0)
		r = pn_error_set(err, -errno, "%s: %s", folder, g_strerror(errno));
	if (r == 0) {
		r = archive_extract(restore->path, restore->manifest, BACKUP_CONFIG, folder,
		    &restore->progress, err);
		restore->files = r;
	}
	/* An empty folder is replaced, any other is not. */
	if (r >= 0 && rename(folder, restore->ctl->folder) < 0)
		r = pn_error_set(err, -errno, "%s: %s; the files are in %s", restore->ctl->folder,
		    g_strerror(errno), folder);
	g_free(folder);
	return r < 0 ? r : 0;
}

/* ---- the mail -------------------------------------------------------------------------------- */

static void
note_mail(const struct restore *restore)
{
	char *after = g_strdup_printf(
	    "%zu messages%s", restore->mail.messages, restore->hold ? ", held" : "");
	struct audit_row row = { .who = restore->ctl->who,
		.action = "restore",
		.scope = "spool",
		.object = restore->path,
		.after = after };
	struct pn_error err = { 0 };
	struct db *db = NULL;

	if (db_open(restore->database, false, &db, &err) < 0 || tables_migrate(db, &err) < 0 ||
	    audit_add(db, &row, &err) < 0 || give(restore, restore->database, &err) < 0)
		fprintf(stderr, "posternctl: not written to the audit trail: %s\n", err.text);
	db_close(&db);
	g_free(after);
}

static int
put_mail(struct restore *restore, struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(restore->ctl->generation)->relay;
	const struct pn_secret *secret = relay->spool.encrypt_with;
	char *reason = g_strdup_printf("restored from the backup of %s",
	    json_string_value(json_object_get(restore->manifest, "taken")));
	struct restore_spool order = { .path = restore->path,
		.manifest = restore->manifest,
		.state = restore->state,
		.segment_size = (uint64_t)relay->spool.segment_size,
		.hold = restore->hold,
		.who = restore->ctl->who,
		.reason = reason,
		.progress = &restore->progress };
	int r = secret ? keyring_parse(pn_secret_bytes(secret), &order.keys, err) : 0;

	if (r == 0)
		r = restore_spool(&order, &restore->mail, err);
	if (r == 0)
		note_mail(restore);
	keyring_release(&order.keys);
	g_free(reason);
	return r;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int
put_all(struct restore *restore, struct pn_error *err)
{
	int r = find_place(restore, err);

	if (r == 0)
		r = claim(restore, err);
	if (r == 0 && restore->spool)
		return put_mail(restore, err);
	if (r == 0)
		r = prepare_database(restore, err);
	if (r == 0 && restore->config)
		r = put_configuration(restore, err);
	if (r == 0)
		r = put_database(restore, err);
	if (r < 0 && restore->unfinished)
		unlink(restore->unfinished);
	return r;
}

/* Files that the configuration wants and no backup has. */
static json_t *
missing(const struct restore *restore)
{
	json_t *ret = json_array(), *value;
	size_t i;

	json_array_foreach(json_object_get(restore->manifest, "named"), i, value)
	{
		const char *path = json_string_value(value);

		if (path && access(path, F_OK) < 0)
			json_array_append(ret, value);
	}
	return ret;
}

static void
tell(const struct restore *restore)
{
	const json_t *manifest = restore->manifest;

	if (restore->mail.ids) {
		console_add(&restore->ctl->console,
		    json_pack("{s:s, s:O?, s:I, s:b, s:i, s:I, s:O}", "restored", restore->path,
			"taken", json_object_get(manifest, "taken"), "messages",
			(json_int_t)restore->mail.messages, "held", restore->hold,
			"encrypted_segments", restore->mail.encrypted, "damaged",
			(json_int_t)restore->mail.damaged, "ids", restore->mail.ids));
		return;
	}
	console_add(&restore->ctl->console,
	    json_pack("{s:s, s:O?, s:O?, s:O?, s:s?, s:s?, s:i, s:o}",
		restore->check ? "good" : "restored", restore->path, "taken",
		json_object_get(manifest, "taken"), "by", json_object_get(manifest, "by"),
		"version", json_object_get(manifest, "version"), "database", restore->database,
		"before", restore->before, "configuration_files", restore->files, "missing",
		missing(restore)));
}

int
restore_run(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct restore restore = { .ctl = ctl, .lock = -1 };
	int r;

	if (take_words(&restore, argc, argv, err) < 0)
		return EXIT_USAGE;
	restore.progress.quiet = ctl->console.json;
	r = archive_check(restore.path, &restore.progress, &restore.manifest, err);
	if (r == 0 && !restore.check)
		r = put_all(&restore, err);
	progress_end(&restore.progress);
	if (r == 0)
		tell(&restore);
	if (restore.lock >= 0)
		close(restore.lock);
	json_decref(restore.manifest);
	json_decref(restore.mail.ids);
	g_free(restore.state);
	g_free(restore.user);
	g_free(restore.database);
	g_free(restore.unfinished);
	g_free(restore.before);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}
