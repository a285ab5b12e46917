"""What a search taught: told by its agents, held to the record, drafted for people.

fact_check  which lines of lessons the record contradicts; pure
summary     the lessons of some rounds made one, by the agent
draft       a draft for an operator's skill page, with the candidates that show each line
"""
