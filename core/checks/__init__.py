"""May this call be made?"""
