"""The zygote, the supervisor and the server of one evaluation."""
