# SPDX-License-Identifier: Apache-2.0
"""A small cluster on network namespaces: nodes, pods, services and faults as pieces that tests and the demo put together.

``network`` stands for the data centre (underlay, router, the world outside), ``nodes`` and ``pods`` hang on it, ``services``
translate addresses, ``faults`` disturb, ``counters`` read what the kernel counted, ``processes`` run programs in pods. Whatever
is made is first written to the ``journal``, so that it can be unmade even after the program was killed.
"""
