"""Serving: an LLMService becomes an OpenAI endpoint on Ray Serve LLM and vLLM.

model.py     what the object and the records of its runs say: which folder, which adapters. Pure
folders.py   the folders themselves: downloaded, whole, of one family
engine.py    object -> settings of Ray Serve and vLLM. Pure
server.py    the replica: one vLLM engine behind vLLM's own OpenAI routes
app.py       object -> Ray Serve application; what a RayService imports
local.py     several applications on this machine, until Ctrl-C
"""
