"""Where a run is, and how it ended, in the status of its LLMFineTune, from inside a pod that has a token.

endpoint.py       one object's status at the API server: server-side apply, one field manager for each concern
progress.py       progress.json -> .status.progress, and the wish to suspend back; a courtesy, which fails and delays nothing
end.py            record or error -> .status.result or .status.failure, until the API server has it
reporting.py      both, around a run
"""
