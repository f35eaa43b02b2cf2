def job(horizon): raise NotImplementedError
