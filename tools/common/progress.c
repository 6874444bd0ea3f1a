// SPDX-License-Identifier: GPL-2.0-only
/*
 * progress.c - a progress line on the terminal
 */
#include <stdio.h>
#include <unistd.h>

#include "common.h"

#define INTERVAL 0.5	/* seconds between two updates */

void vdi_progress_start(struct vdi_progress *progress, bool quiet)
{
	*progress = (struct vdi_progress){
		.shown = !quiet && isatty(STDERR_FILENO),
		.start = vdi_now(),
	};
	progress->last = progress->start;
}

/* Moving average over the last seconds, so that a stall shows quickly. */
static void update_rate(struct vdi_progress *progress, double now,
			uint64_t bytes)
{
	double rate = (bytes - progress->last_bytes) / (now - progress->last);

	progress->rate = progress->rate ? 0.5 * progress->rate + 0.5 * rate :
					  rate;
	progress->last = now;
	progress->last_bytes = bytes;
}

/* total 0 = unknown */
void vdi_progress_show(struct vdi_progress *progress, const char *what,
		       uint64_t bytes, uint64_t total)
{
	char done[32], rate[32], elapsed[32], of[48] = "";
	double now = vdi_now();

	if (!progress->shown || now - progress->last < INTERVAL)
		return;
	update_rate(progress, now, bytes);
	vdi_format_bytes(bytes, done, sizeof(done));
	vdi_format_bytes(progress->rate, rate, sizeof(rate));
	vdi_format_duration(now - progress->start, elapsed, sizeof(elapsed));
	if (total)
		snprintf(of, sizeof(of), " (%.0f %%)", 100.0 * bytes / total);
	fprintf(stderr, "\r%s: %s %s%s, %s/s, %s\033[K", vdi_program(), what,
		done, of, rate, elapsed);
	fflush(stderr);
	progress->printed = true;
}

/* Erase the line before other output is printed. */
void vdi_progress_end(struct vdi_progress *progress)
{
	if (progress->printed)
		fputs("\r\033[K", stderr);
	progress->printed = false;
}

void vdi_format_transfer(unsigned int devices, const char *media, uint64_t bytes,
			 double seconds, char *buf, size_t size)
{
	char text[32], rate[32], took[32];

	vdi_format_bytes(bytes, text, sizeof(text));
	vdi_format_bytes(seconds > 0 ? bytes / seconds : 0, rate, sizeof(rate));
	vdi_format_duration(seconds, took, sizeof(took));
	snprintf(buf, size, "%u device%s%s, %s in %s, %s/s", devices,
		 devices == 1 ? "" : "s", media, text, took, rate);
}
