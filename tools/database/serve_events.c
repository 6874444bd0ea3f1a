// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_events.c - what vdi serve reports to other programs
 */
#include <string.h>

#include "serve_events.h"

static void sample(struct database *db)
{
	struct vdi_figures *f = &db->events->figures;
	unsigned int i;

	f->count = db->count;
	for (i = 0; i < db->count; i++)
		f->device[i].name = vdi_names_get(&db->names, i);
	vdi_figures_read(f, vdi_server_fd(db->server));
	/* those of one direction, as in the summary */
	f->bytes = db->moved;
	f->total = db->total;
}

static const char *phase(const struct database *db)
{
	if (!db->started)
		return "waiting";
	return strcmp(db->verb, "read-back") ? "transfer" : "read-back";
}

static void tick(struct database *db)
{
	struct serve_events *e = db->events;

	if (!vdi_report_due(&e->report, phase(db)))
		return;
	sample(db);
	vdi_report_status(&e->report, phase(db), &e->figures);
}

int serve_events_begin(struct serve_events *events, struct database *db)
{
	int rc = vdi_report_open(&events->report, events->json, db->verb);

	events->report.set = db->names.set;
	db->events = events;
	if (events->json)
		db->tick = tick;
	return rc;
}

void serve_events_last_sample(struct database *db)
{
	if (db->events->json)
		sample(db);
}

void serve_events_end(struct database *db, int rc, double seconds)
{
	struct serve_events *e = db->events;
	struct vdi_report_end end = {
		.exit_code = rc,
		.seconds = seconds,
		.figures = &e->figures,
	};
	char message[1024];
	unsigned int i;

	snprintf(message, sizeof(message), "%s", db->message);
	if (!*message)
		vdi_first_error(message, sizeof(message));
	end.message = message;
	e->figures.bytes = db->moved;
	/* db_end() has released the names */
	for (i = 0; i < e->figures.count; i++)
		e->figures.device[i].name = vdi_names_get(&db->names, i);
	vdi_report_end(&e->report, &end);
	vdi_names_free(&db->names);
}
