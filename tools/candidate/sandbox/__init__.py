"""What a candidate's process gives up before its code is loaded."""
