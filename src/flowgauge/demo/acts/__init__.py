# SPDX-License-Identifier: Apache-2.0
"""Acts: pieces of the story with a truth of their own, one file each.

Making an act places its objects and pods; no program runs yet. ``programme`` lists the acts: those that play one after another
when the load has ended, because they would disturb what people watch, and those that go on while people watch. What an act
knows afterwards (its truth) is judged against flows by a file of ``report``.

To add one: a file here that meets ``programme.Act`` or ``programme.LiveAct``, a line in ``programme.Programme`` and
``programme.Truths``, a judge in ``report`` (``report.signals`` lists those of signals).
"""
