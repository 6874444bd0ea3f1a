// SPDX-License-Identifier: GPL-2.0-only
/* report.c - computes and prints the figures of a case */
#include "bench.h"

double result_cpu(const struct result *r)
{
	return (double)(r->time[PRODUCER].cpu_ns + r->time[CONSUMER].cpu_ns) /
	       r->commands;
}

/* Without a hand-over, the sides run one after the other. */
double result_wall(const struct result *r)
{
	uint64_t wall_ns = r->time[PRODUCER].wall_ns;

	if (r->c.transport->unchecked)
		wall_ns += r->time[CONSUMER].wall_ns;
	return (double)wall_ns / r->commands;
}

double result_switches(const struct result *r, enum side side)
{
	return (double)r->time[side].switches / r->commands;
}

/* Negative: not counted */
double result_calls(const struct result *r, enum side side)
{
	return r->counted ? (double)r->count[side].calls / r->counted : -1;
}

/* Per byte of data; negative: not counted, or no data */
double result_copied(const struct result *r)
{
	uint64_t copied = r->count[PRODUCER].copied + r->count[CONSUMER].copied;

	if (!r->counted || !r->c.size)
		return -1;
	return (double)copied / r->counted / r->c.size;
}

static double megabytes(const struct result *r)
{
	return r->c.size * 1000.0 / result_wall(r);
}

void report_head(FILE *out, bool icount)
{
	fprintf(out, "%-11s %5s %5s %7s %19s %9s %7s %13s %13s %7s\n", "", "",
		"", "", icount ? "instructions/command" : "ns/command",
		"commands", "", "calls/command", "switches/cmd", "copied");
	fprintf(out, "%-11s %5s %5s %7s %9s %9s %9s %7s %6s %6s %6s %6s %7s\n",
		"", "size", "depth", "devices", icount ? "both" : "CPU",
		icount ? "machine" : "elapsed", "/s", "MB/s", "server",
		"client", "server", "client", "/byte");
}

static void optional(FILE *out, int width, const char *format, double figure)
{
	if (figure < 0)
		fprintf(out, " %*s", width, "-");
	else
		fprintf(out, format, width, figure);
}

void report_line(FILE *out, const struct result *r)
{
	char size[16];

	fprintf(out, "%-11s %5s %5u %7u %9.0f %9.0f %9.0f", r->c.transport->name,
		format_size(r->c.size, size), r->c.depth, r->c.devices,
		result_cpu(r), result_wall(r), 1e9 / result_wall(r));
	optional(out, 7, " %*.0f", r->c.size ? megabytes(r) : -1);
	optional(out, 6, " %*.3f", result_calls(r, PRODUCER));
	optional(out, 6, " %*.3f", result_calls(r, CONSUMER));
	optional(out, 6, " %*.3f", result_switches(r, PRODUCER));
	optional(out, 6, " %*.3f", result_switches(r, CONSUMER));
	optional(out, 7, " %*.3f", result_copied(r));
	fputc('\n', out);
	fflush(out);
}

static void json_figure(FILE *out, const char *name, double figure)
{
	if (figure < 0)
		fprintf(out, ", \"%s\": null", name);
	else
		fprintf(out, ", \"%s\": %.10g", name, figure);
}

void report_json(FILE *out, const struct result *r, size_t n, bool icount)
{
	size_t i;

	fprintf(out, "{\n  \"cpu_unit\": \"%s\",\n  \"cases\": [\n",
		icount ? "instruction" : "ns");
	for (i = 0; i < n; i++, r++) {
		fprintf(out, "    {\"transport\": \"%s\", \"size\": %u, "
			"\"depth\": %u, \"devices\": %u, \"commands\": %llu",
			r->c.transport->name, r->c.size, r->c.depth,
			r->c.devices, (unsigned long long)r->commands);
		json_figure(out, "cpu_per_command", result_cpu(r));
		json_figure(out, "wall_ns_per_command", result_wall(r));
		json_figure(out, "commands_per_s", 1e9 / result_wall(r));
		json_figure(out, "mb_per_s", megabytes(r));
		json_figure(out, "server_calls_per_command",
			    result_calls(r, PRODUCER));
		json_figure(out, "client_calls_per_command",
			    result_calls(r, CONSUMER));
		json_figure(out, "server_switches_per_command",
			    result_switches(r, PRODUCER));
		json_figure(out, "client_switches_per_command",
			    result_switches(r, CONSUMER));
		json_figure(out, "copied_per_byte", result_copied(r));
		fprintf(out, "}%s\n", i + 1 < n ? "," : "");
	}
	fprintf(out, "  ]\n}\n");
}
