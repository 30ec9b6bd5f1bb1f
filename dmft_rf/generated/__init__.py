"""What a trained network generates: the law of its samples and how far it is from the data's.

A model and a training time come in, the generated covariance and its divergences go out. At
infinite width they are exact; at finite width there is a bound.
"""
