// libcuda.so.1 in the host's memory: enough of the CUDA driver API (cuda.h) that the real cuda-core
// and cuda-bindings run without a GPU. Work is done at once, or while its stream is captured, whenever
// the graph is launched. Every call is logged by its name.
// What is not here answers CUDA_SUCCESS and does nothing.

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;
enum { SUCCESS = 0, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_CONTEXT = 201 };
enum { CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };

static __thread void *contexts[16];
static __thread int depth;
static uintptr_t handles = 0x1000;
static long live, bytes;
static char text[1 << 16];
static size_t written;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// A thread captures one stream at a time, and each thread its own: CAPTURE_MODE_THREAD_LOCAL.
static __thread int capturing;  // CUstreamCaptureStatus: 0 none, 1 active, 2 invalidated
static __thread void *captured;
typedef struct Node {
    struct Node *next;
    void (*call)(void *);  // else a copy, or without a source a fill
    void *target;
    const void *source;
    size_t size;
    unsigned char value;
} Node;
static __thread Node *first, **last;

static void run(const Node *node) {
    if (node->call)
        node->call(node->target);
    else if (node->source)
        memcpy(node->target, node->source, node->size);
    else
        memset(node->target, node->value, node->size);
}

static Result queue(void *stream, Node node) {
    if (capturing != 1 || stream != captured) return run(&node), SUCCESS;
    Node *kept = malloc(sizeof node);  // for good: graphs are few
    *kept = node, *last = kept, last = &kept->next;
    return SUCCESS;
}

static Result note(const char *call, void *stream) {
    pthread_mutex_lock(&lock);
    if (written < sizeof text - 64)
        written += snprintf(text + written, 64, "%s %lx\n", call, (unsigned long)stream);
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

static void *handle(void) { return (void *)__atomic_add_fetch(&handles, 16, __ATOMIC_SEQ_CST); }
static void count(long blocks, void *pointer) {
    __atomic_add_fetch(&live, blocks, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&bytes, blocks * (long)malloc_usable_size(pointer), __ATOMIC_SEQ_CST);
}
static void *memory(size_t size) {
    void *pointer = aligned_alloc(256, (size + 255) / 256 * 256);
    return count(1, pointer), pointer;
}
static void release(void *pointer) { count(-1, pointer), free(pointer); }

const char *fake_log(void) { return text; }
void fake_clear(void) { written = 0, text[0] = 0; }
long fake_live(void) { return live; }
int fake_depth(void) { return depth; }

#define CALL(name, ...) static Result my_##name(__VA_ARGS__)
CALL(cuInit, unsigned flags) { return SUCCESS; }
CALL(cuDriverGetVersion, int *version) { return *version = 13000, SUCCESS; }
CALL(cuDeviceGetCount, int *count) { return *count = 1, SUCCESS; }
CALL(cuDeviceGet, int *device, int i) { return *device = 0, i ? INVALID_DEVICE : SUCCESS; }
CALL(cuDeviceGetName, char *name, int size, int d) { return strncpy(name, "Stub", size), SUCCESS; }
CALL(cuDeviceGetAttribute, int *value, int attribute, int device) {
    return *value = attribute == 75 ? 8 : attribute == 76 ? 9 : 1, SUCCESS;
}
CALL(cuDevicePrimaryCtxRetain, void **context, int d) { return *context = (void *)0xC0, SUCCESS; }
CALL(cuCtxGetCurrent, void **context) {
    return *context = depth ? contexts[depth - 1] : NULL, SUCCESS;
}
CALL(cuCtxSetCurrent, void *context) {
    depth -= depth > 0;
    if (context) contexts[depth++] = context;
    return SUCCESS;
}
CALL(cuCtxPushCurrent, void *context) { return contexts[depth++] = context, SUCCESS; }
CALL(cuCtxPopCurrent, void **context) {
    if (!depth) return INVALID_CONTEXT;
    return *context = contexts[--depth], SUCCESS;
}
CALL(cuCtxGetDevice, int *device) { return *device = 0, depth ? SUCCESS : INVALID_CONTEXT; }
CALL(cuCtxSynchronize, void) { return note("cuCtxSynchronize", NULL); }
CALL(cuStreamGetCtx, void *stream, void **context) { return *context = (void *)0xC0, SUCCESS; }
CALL(cuCtxGetStreamPriorityRange, int *a, int *b) { return *a = 0, *b = -5, SUCCESS; }
CALL(cuStreamCreateWithPriority, void **stream, unsigned flags, int priority) {
    return *stream = handle(), note("cuStreamCreate", *stream);
}
CALL(cuStreamSynchronize, void *stream) {
    note("cuStreamSynchronize", stream);
    if (capturing) capturing = 2;
    return capturing ? CAPTURE_UNSUPPORTED : SUCCESS;
}
CALL(cuStreamDestroy, void *stream) { return note("cuStreamDestroy", stream); }
CALL(cuStreamWaitEvent, void *stream, void *event, unsigned f) {
    return note("cuStreamWaitEvent", stream);
}
CALL(cuEventCreate, void **event, unsigned flags) { return *event = handle(), SUCCESS; }
CALL(cuEventRecord, void *event, void *stream) { return note("cuEventRecord", stream); }
CALL(cuEventSynchronize, void *event) { return note("cuEventSynchronize", NULL); }
CALL(cuEventQuery, void *event) { return SUCCESS; }
CALL(cuEventElapsedTime, float *milliseconds, void *start, void *end) {
    return *milliseconds = 2.5f, note("cuEventElapsedTime", NULL);
}
CALL(cuMemPoolCreate, void **pool, void *p) { return *pool = handle(), note("cuMemPoolCreate", 0); }
CALL(cuMemPoolDestroy, void *pool) { return note("cuMemPoolDestroy", NULL); }
CALL(cuMemPoolGetAttribute, void *pool, int a, uint64_t *value) { return *value = 0, SUCCESS; }
CALL(cuMemPoolSetAttribute, void *pool, int attribute, uint64_t *value) {
    return note(attribute == 4 ? "releaseThreshold" : "cuMemPoolSetAttribute", (void *)*value);
}
CALL(cuMemAllocFromPoolAsync, void **pointer, size_t size, void *pool, void *stream) {
    if (size > (size_t)1 << 40) return OUT_OF_MEMORY;
    return *pointer = memory(size), note("cuMemAllocFromPoolAsync", stream);
}
CALL(cuMemFreeAsync, void *pointer, void *stream) {
    return release(pointer), note("cuMemFreeAsync", stream);
}
CALL(cuMemAllocHost, void **pointer, size_t size) { return *pointer = memory(size), SUCCESS; }
CALL(cuMemFreeHost, void *pointer) { return release(pointer), note("cuMemFreeHost", NULL); }
CALL(cuMemGetInfo, size_t *unused, size_t *total) {
    return *total = (size_t)1 << 40, *unused = *total - bytes, SUCCESS;
}
CALL(cuMemcpyAsync, void *target, void *source, size_t size, void *stream) {
    queue(stream, (Node){.target = target, .source = source, .size = size});
    return note("cuMemcpyAsync", stream);
}
CALL(cuMemsetD8Async, void *target, unsigned char value, size_t size, void *stream) {
    queue(stream, (Node){.target = target, .size = size, .value = value});
    return note("cuMemsetD8Async", stream);
}
Result cuLaunchHostFunc(void *stream, void (*call)(void *), void *data) {
    return queue(stream, (Node){.call = call, .target = data});
}
CALL(cuStreamBeginCapture, void *stream, int mode) {
    capturing = 1, captured = stream, first = NULL, last = &first;
    return note("cuStreamBeginCapture", (void *)(uintptr_t)mode);
}
CALL(cuStreamIsCapturing, void *stream, int *status) {
    return *status = stream == captured ? capturing : 0, SUCCESS;
}
CALL(cuStreamGetCaptureInfo, void *stream, int *status) {
    return my_cuStreamIsCapturing(stream, status);
}
CALL(cuStreamEndCapture, void *stream, void **graph) {
    int valid = capturing == 1 && !getenv("FAKE_CAPTURE_FAILS");
    Node *head = calloc(1, sizeof *head);  // so that an empty graph is none of the failed ones
    head->next = first, capturing = 0, captured = NULL, *graph = valid ? head : NULL;
    note("cuStreamEndCapture", stream);
    return valid ? SUCCESS : CAPTURE_INVALIDATED;
}
CALL(cuGraphInstantiateWithFlags, void **executable, void *graph, unsigned long long flags) {
    return *executable = graph, note("cuGraphInstantiate", NULL);
}
CALL(cuGraphDestroy, void *graph) { return note("cuGraphDestroy", NULL); }
CALL(cuGraphUpload, void *executable, void *stream) { return note("cuGraphUpload", stream); }
CALL(cuGraphLaunch, void *executable, void *stream) {
    for (Node *node = ((Node *)executable)->next; node; node = node->next) run(node);
    return note("cuGraphLaunch", stream);
}
CALL(cuGraphExecDestroy, void *executable) { return note("cuGraphExecDestroy", NULL); }
CALL(cuGetErrorName, int error, const char **name) { return *name = "CUDA_ERROR", SUCCESS; }
CALL(cuGetErrorString, int error, const char **name) { return *name = "of the stub", SUCCESS; }
static Result nothing(void) { return SUCCESS; }

#define ENTRY(name) {#name, (void *)my_##name}
static const struct {
    const char *name;
    void *call;
} calls[] = {
    ENTRY(cuInit), ENTRY(cuDriverGetVersion), ENTRY(cuDeviceGetCount), ENTRY(cuDeviceGet),
    ENTRY(cuDeviceGetName), ENTRY(cuDeviceGetAttribute), ENTRY(cuDevicePrimaryCtxRetain),
    ENTRY(cuCtxGetCurrent), ENTRY(cuCtxSetCurrent), ENTRY(cuCtxPushCurrent),
    ENTRY(cuCtxPopCurrent), ENTRY(cuCtxGetDevice), ENTRY(cuCtxSynchronize), ENTRY(cuStreamGetCtx),
    ENTRY(cuCtxGetStreamPriorityRange), ENTRY(cuStreamCreateWithPriority),
    ENTRY(cuStreamSynchronize), ENTRY(cuStreamDestroy), ENTRY(cuStreamWaitEvent),
    ENTRY(cuEventCreate), ENTRY(cuEventRecord), ENTRY(cuEventSynchronize),
    ENTRY(cuEventQuery), ENTRY(cuEventElapsedTime),
    ENTRY(cuMemPoolCreate), ENTRY(cuMemPoolDestroy), ENTRY(cuMemPoolGetAttribute),
    ENTRY(cuMemPoolSetAttribute),
    ENTRY(cuMemAllocFromPoolAsync), ENTRY(cuMemFreeAsync), ENTRY(cuMemAllocHost),
    ENTRY(cuMemFreeHost), ENTRY(cuMemGetInfo), ENTRY(cuMemcpyAsync), ENTRY(cuMemsetD8Async),
    ENTRY(cuStreamIsCapturing), ENTRY(cuStreamGetCaptureInfo),
    ENTRY(cuStreamBeginCapture), ENTRY(cuStreamEndCapture),
    ENTRY(cuGraphInstantiateWithFlags), ENTRY(cuGraphDestroy), ENTRY(cuGraphUpload), ENTRY(cuGraphLaunch),
    ENTRY(cuGraphExecDestroy), ENTRY(cuGetErrorName), ENTRY(cuGetErrorString),
};

Result cuGetProcAddress_v2(const char *name, void **call, int version, uint64_t flags, int *found) {
    *call = strcmp(name, "cuGetProcAddress") ? (void *)nothing : (void *)cuGetProcAddress_v2;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, name)) *call = calls[i].call;
    if (found) *found = 0;
    return SUCCESS;
}

// What machine.py asks of the library itself.
#define EXPORT(name) __typeof__(my_##name) name __attribute__((alias("my_" #name)))
EXPORT(cuInit);
EXPORT(cuDeviceGetCount);
EXPORT(cuDeviceGet);
EXPORT(cuDeviceGetName);
EXPORT(cuDeviceGetAttribute);
EXPORT(cuGetErrorString);
