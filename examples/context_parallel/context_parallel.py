#!/usr/bin/env python3
"""Attention over a sequence that is shared among processes (context parallelism).

    PYTHONPATH=build/release/python python3 examples/context_parallel/context_parallel.py --processes 4
    PYTHONPATH=build/release/python torchrun --nproc-per-node 4 examples/context_parallel/context_parallel.py
    PYTHONPATH=build/release/python torchrun --nproc-per-node 8 examples/context_parallel/context_parallel.py --device cuda

Each process has a slice of the queries, keys and values. The slices of keys and values go around in a ring; for each one
that arrives, a process computes the attention of its queries over those keys and merges the result with what it has by
their log-sum-exp. No process ever has all keys. A slice that the mask empties costs next to nothing: none of its tiles
is visited.

A call counts keys from 0; `q_offset` is where its queries are, seen from there, which is all that causal() and local()
need. A mask that asks where a key is in the whole sequence says so by a run-time parameter, here `first_key`.

At the end process 0 compares with the attention of one process over everything.
"""

import argparse
import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing

import maskjit

SPECS = (
    "causal",
    "causal() & local(100)",
    "masker streaming_llm(runtime first_key: int) = causal() & (first_key + k < 4 | local(100))",
    "full",
)
BATCH, HEADS, KV_HEADS, HEAD_DIM = 2, 8, 2, 32


def bounds(length, processes):
    """Where the slices begin and end; their lengths differ by one at most."""
    return [length * rank // processes for rank in range(processes + 1)]


def pass_on(tensors, shapes):
    """Sends the tensors to the next process of the ring, and returns those of the one before, which have these shapes."""
    rank, processes = dist.get_rank(), dist.get_world_size()
    received = [tensor.new_empty(shape) for shape, tensor in zip(shapes, tensors, strict=True)]
    messages = [dist.P2POp(dist.isend, tensor, (rank + 1) % processes) for tensor in tensors]
    messages += [dist.P2POp(dist.irecv, tensor, (rank - 1) % processes) for tensor in received]
    for request in dist.batch_isend_irecv(messages):
        request.wait()
    return received


def ring_attention(attn, query, key, value, ends):
    """Attention of this process's queries over the keys of all.

    query [B, Hq, Lq, D], key and value [B, Hkv, Lk, D]: this process's slices, positions ends[rank] .. ends[rank + 1] - 1.
    """
    rank, processes = dist.get_rank(), dist.get_world_size()
    output = lse = None
    asks_where_keys_are = any(parameter.name == "first_key" for parameter in attn.parameters)
    slices = [key.contiguous(), value.contiguous()]
    for step in range(processes):
        owner = (rank - step) % processes
        where = {"first_key": ends[owner]} if asks_where_keys_are else {}
        part = attn.results(query, *slices, ("output", "lse"), q_offset=ends[rank] - ends[owner], **where)
        output, lse = part if output is None else maskjit.merge_partials((output, part[0]), (lse, part[1]))
        if step + 1 < processes:
            arriving = (owner - 1) % processes
            length = ends[arriving + 1] - ends[arriving]
            slices = pass_on(slices, [(*key.shape[:2], length, key.shape[3]), (*value.shape[:2], length, value.shape[3])])
    return output


@torch.inference_mode()
def work(spec, length, device):
    rank, processes = dist.get_rank(), dist.get_world_size()
    # Every process makes the same numbers and takes its slice of them.
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(BATCH, heads, length, HEAD_DIM, generator=generator).to(device) for heads in (HEADS, KV_HEADS, KV_HEADS)
    )
    ends = bounds(length, processes)
    mine = slice(ends[rank], ends[rank + 1])
    attn = maskjit.compile(spec)
    output = ring_attention(attn, query[:, :, mine], key[:, :, mine], value[:, :, mine], ends)

    gathered = [None] * processes if rank == 0 else None
    dist.gather_object(output.cpu(), gathered)
    if rank == 0:
        whole = {parameter.name: 0 for parameter in attn.parameters}
        error = (torch.cat(gathered, 2) - attn(query, key, value, parameters=whole).cpu()).abs().max().item()
        print(f"{spec}\n  {processes} processes, {length} tokens, largest difference from one process {error:.1e}", flush=True)
        if not error < 1e-5:
            raise SystemExit("not the attention of one process")


def run(rank, arguments, port):
    if port is not None:  # not by torchrun
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(arguments.processes))
        torch.set_num_threads(max(torch.get_num_threads() // arguments.processes, 1))
    device = torch.device(arguments.device)
    if device.type == "cuda":
        device = torch.device("cuda", rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    for spec in arguments.spec:
        work(spec, arguments.tokens, device)
    dist.destroy_process_group()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--spec", nargs="*", default=SPECS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        run(int(os.environ["RANK"]), arguments, None)
    else:
        torch.multiprocessing.spawn(run, (arguments, free_port()), nprocs=arguments.processes)


if __name__ == "__main__":
    main()
