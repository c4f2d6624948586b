/* A stand-in for libnvidia-ml.so.1: a TEST DOUBLE. It knows no device and measures nothing.
 *
 * It tests our plumbing through the real module pynvml (its ctypes structures and error paths), never NVIDIA's
 * numbers. What it pretends is set by environment variables:
 *   FAKE_INIT=code        nvmlInit fails with this code
 *   FAKE_DEVICES=n        devices (default 1), board i draws 300 + 100 i watts
 *   FAKE_MIG=1            MIG is on, each board has two instances
 *   FAKE_PID=pid          the one process on each device (default: the one that asks)
 *   FAKE_FAIL=name:code   that query always fails with this code, e.g. nvmlDeviceGetTotalEnergyConsumption:3
 *   FAKE_SLOW=name:us     that query computes for so many microseconds before it answers
 *   FAKE_LOST=from:to     queries number `from` up to `to` of a device fail: the device is lost, and comes back
 * Energy follows the monotonic clock, so that joules = watts x seconds holds for a test to check.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, LOST = 15 };

typedef struct { int board; int instance; } Device; /* instance -1: the whole board */
static Device devices[8][3];
static long queries;

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int gpu, memory; } Rates;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } Process;

static int number(const char *name, int otherwise) { char *s = getenv(name); return s ? atoi(s) : otherwise; }

static double cpu_seconds(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }

static int refusal(const char *query) {
    char *s = getenv("FAKE_SLOW");
    size_t length = strlen(query);
    if (s && !strncmp(s, query, length) && s[length] == ':')
        for (double until = cpu_seconds() + 1e-6 * atoi(s + length + 1); cpu_seconds() < until;) ;
    s = getenv("FAKE_FAIL");
    if (s && !strncmp(s, query, length) && s[length] == ':') return atoi(s + length + 1);
    long from, to;
    s = getenv("FAKE_LOST");
    queries++;
    if (s && sscanf(s, "%ld:%ld", &from, &to) == 2 && queries >= from && queries < to) return LOST;
    return OK;
}
#define ASK do { int code = refusal(__func__); if (code) return code; } while (0)

static double seconds(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static double watts(Device *d) { return 300 + 100 * d->board; }
static int mig(void) { return number("FAKE_MIG", 0); }

int nvmlInitWithFlags(unsigned int flags) {
    for (int board = 0; board < 8; board++)
        for (int i = 0; i < 3; i++) devices[board][i] = (Device){board, i - 1};
    return number("FAKE_INIT", OK);
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "an error of the test double"; }
int nvmlSystemGetDriverVersion(char *out, unsigned int size) { snprintf(out, size, "0.0 (test double)"); return OK; }
int nvmlDeviceGetCount_v2(unsigned int *out) { ASK; *out = number("FAKE_DEVICES", 1); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, Device **out) { *out = &devices[i][0]; return OK; }
int nvmlDeviceGetName(Device *d, char *out, unsigned int size) { snprintf(out, size, "FAKE GPU (test double)"); return OK; }
int nvmlDeviceGetUUID(Device *d, char *out, unsigned int size) {
    if (d->instance < 0) snprintf(out, size, "GPU-fake-%d", d->board);
    else snprintf(out, size, "MIG-fake-%d-%d", d->board, d->instance);
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **out) {
    ASK;
    char own[96];
    for (int board = 0; board < 8; board++)
        for (int i = 0; i < 3; i++) {
            nvmlDeviceGetUUID(&devices[board][i], own, sizeof own);
            if (!strcmp(own, uuid)) { *out = &devices[board][i]; return OK; }
        }
    return NOT_FOUND;
}
int nvmlDeviceGetMigMode(Device *d, unsigned int *now, unsigned int *pending) { *now = *pending = mig(); return OK; }
int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned int *out) { *out = mig() ? 7 : 0; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned int i, Device **out) {
    if (i > 1) return NOT_FOUND;
    *out = &devices[d->board][i + 1];
    return OK;
}
int nvmlDeviceGetMemoryInfo(Device *d, Memory *out) {
    ASK;
    out->total = d->instance < 0 ? 80ull << 30 : 10ull << 30;
    out->used = d->instance < 0 ? 60ull << 30 : 7ull << 30;
    out->free = out->total - out->used;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned int *count, Process *out) {
    ASK;
    if (!out) { *count = 1; return SMALL; }
    *count = 1;
    out[0] = (Process){number("FAKE_PID", getpid()), 55ull << 30, 0, 0};
    return OK;
}
int nvmlDeviceGetUtilizationRates(Device *d, Rates *out) {
    ASK;
    if (d->instance >= 0) return NOT_SUPPORTED;
    *out = (Rates){57, 31};
    return OK;
}
int nvmlDeviceGetPowerUsage(Device *d, unsigned int *mw) { ASK; *mw = watts(d) * 1000; return OK; }
int nvmlDeviceGetTotalEnergyConsumption(Device *d, unsigned long long *mj) { ASK; *mj = watts(d) * seconds() * 1000; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned int *mw) { *mw = 700000; return OK; }
int nvmlDeviceGetTemperature(Device *d, unsigned int sensor, unsigned int *out) { ASK; *out = 61; return OK; }
int nvmlDeviceGetClockInfo(Device *d, unsigned int kind, unsigned int *out) { ASK; *out = kind == 2 ? 2619 : 1980; return OK; }
int nvmlDeviceGetMaxClockInfo(Device *d, unsigned int kind, unsigned int *out) { *out = 2619; return OK; }
int nvmlDeviceGetMemoryBusWidth(Device *d, unsigned int *out) { *out = 5120; return OK; }
/* The new name, nvmlDeviceGetCurrentClocksEventReasons, is left out: drivers before 535 lack it. */
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, unsigned long long *out) { ASK; *out = 0x5; return OK; }
